"""The blocks of examples/ts_agent.py by themselves, the codec of TS CONFIG and
PORTS, and the session of a system with connections that are cut at any byte.
"""
# Needs nothing that is built.
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / 'integration'))

import harness  # noqa: E402,F401
import uidrecv1 as wire  # noqa: E402
from block_sink import BlockSink  # noqa: E402
from test_agent_sync import Talk  # noqa: E402
from ts_blocks import Blocks  # noqa: E402
from uidrecv1 import Record, System  # noqa: E402

SECOND = 1_000_000
SYSTEM = System('10.0.0.7', (20000, 1100), 200, ((20350, 100),), ('::7',))


class BlocksTest(unittest.TestCase):
    def setUp(self):
        self.blocks = Blocks(rest_s=240, lifetime_s=900)
        self.blocks.set_system(SYSTEM, 0)

    def take(self, start, user='x', now=0, *told):
        block = self.blocks.take(user, (start, 200), now)
        block.told.update(told)
        return block

    def test_T03_a_port_is_in_one_block(self):
        # Two touch the reserved range; the last 100 ports are no block.
        self.assertEqual(list(self.blocks.free), [20000, 20600, 20800])
        for start in 20000, 20600, 20800:
            self.take(start)
        for start in 19800, 20100, 20200, 20400, 20799, 21000, 20000:
            with self.assertRaises(ValueError):
                self.take(start)

    def test_reserved_ranges_end_where_they_end(self):
        for reserved, free in ((((200, 1),), [0, 400]), (((199, 1),), [200, 400]),
                               (((200, 200),), [0, 400]), (((100, 301),), []),
                               (((600, 9),), [0, 200, 400])):
            blocks = Blocks(0, 1)
            blocks.set_system(System('::1', (0, 600), 200, reserved), 0)
            self.assertEqual(list(blocks.free), free, reserved)

    def test_T05_the_one_free_for_longest_comes_first(self):
        for now, start in enumerate((20800, 20000, 20600)):
            self.take(start).is_given = True
            self.blocks.release((start, 200), now)
        until = 240 * SECOND
        self.assertEqual(self.blocks.deadline(), until)
        self.assertEqual(self.blocks.rested(until - 1), [])
        self.assertEqual(self.blocks.rested(until + 1),
                         [(20800, 200), (20000, 200)])
        self.blocks.rested(until + 2)
        self.assertEqual(list(self.blocks.free), [20800, 20000, 20600])

    def test_T05_what_nobody_used_need_not_rest(self):
        self.take(20000)
        self.blocks.release((20000, 200), 5)
        self.assertEqual(self.blocks.rested(5), [(20000, 200)])

    def test_T05_it_rests_while_a_receiver_may_know_the_former_user(self):
        self.take(20000, 'x', 0, 'one', 'two').is_given = True
        end = self.blocks.release((20000, 200), 0)
        self.assertEqual(end, Record('WITHDRAW', '10.0.0.7', ports=(20000, 200)))
        self.blocks.acked('one', end)
        self.assertEqual(self.blocks.rested(800 * SECOND), [])
        # Another of the same words is not what it waits for.
        self.blocks.acked('two', Record(end.op, end.address, ports=end.ports))
        self.assertEqual(self.blocks.rested(800 * SECOND), [])
        self.assertEqual(self.blocks.deadline(), 901 * SECOND)
        self.assertEqual(self.blocks.rested(901 * SECOND), [(20000, 200)])

    def test_T05_and_no_longer(self):
        self.take(20000, 'x', 0, 'one').is_given = True
        end = self.blocks.release((20000, 200), 0)
        self.blocks.acked('one', end)
        self.assertEqual(self.blocks.rested(239 * SECOND), [])
        self.assertEqual(self.blocks.rested(240 * SECOND), [(20000, 200)])

    def test_a_block_that_was_freed_is_not_given_by_a_late_ack(self):
        former = self.take(20000, 'x', 0, 'one')
        end = self.blocks.release((20000, 200), 0)
        self.blocks.acked('one', end)
        self.blocks.rested(0)
        self.take(20000, 'y', 1, 'one')
        self.blocks.acked('one', former.record)
        self.assertEqual(list(self.blocks.decide({'one'})), [])

    def test_who_decides(self):
        block = self.take(20000)
        self.assertEqual(list(self.blocks.decide(set())), [])
        self.blocks.acked('one', block.record)
        self.assertEqual(list(self.blocks.decide({'one', 'two'})), [])
        self.assertEqual(list(self.blocks.decide({'one'})), [(block, True)])
        self.assertEqual(list(self.blocks.decide({'one'})), [])
        block = self.take(20600)
        self.blocks.acked('one', block.record)
        self.blocks.refused('two', block.record)
        self.assertEqual(list(self.blocks.decide({'one', 'two'})),
                         [(block, False)])
        self.blocks.acked('two', block.record)
        self.assertEqual(list(self.blocks.decide({'one', 'two'})),
                         [(block, True)])

    def test_T05_other_ports_let_what_they_overlap_rest(self):
        self.take(20000, 'x', 0, 'one').is_given = True
        system = System('10.0.0.7', (20100, 600), 150)
        self.blocks.set_system(system, 0)
        self.assertEqual(list(self.blocks.free), [20250, 20400, 20550])
        self.assertEqual(list(self.blocks.resting), [20100])
        self.assertEqual(self.blocks.rested(240 * SECOND), [])
        self.blocks.acked('one', system)
        self.assertEqual(self.blocks.rested(240 * SECOND), [(20100, 150)])


class CodecTest(unittest.TestCase):
    def test_T02_ports_of_a_record(self):
        for ports, code in (((0, 65536), None), ((65535, 1), None),
                            ((1, 65536), 13), ((65535, 2), 13), ((5, 0), 13),
                            ((0, 0xffffffff), 13)):
            record = Record('MAP', '10.0.0.7', 'x', ports=ports)
            data = record.encode()[4:]
            if code is None:
                self.assertEqual(wire.decode_record('MAP', data), record)
                continue
            with self.assertRaises(wire.RecordError) as caught:
                wire.decode_record('MAP', data)
            self.assertEqual(caught.exception.code, code)

    def test_T02_what_is_no_system(self):
        fields = dict(ADDRESS='10.0.0.7', PORTS=(20000, 200), BLOCK_SIZE=200)
        frame = wire.encode_message('TS CONFIG', 1, **fields,
                                    ALIAS=['10.0.0.8'] * 16,
                                    RESERVED=[(1, 1)] * 32, ACKED=0)
        self.assertEqual(len(wire.decode_message(frame)[1]['RESERVED']), 32)
        for wrong in (dict(PORTS=(20000, 0)), dict(PORTS=(65535, 2)),
                      dict(BLOCK_SIZE=0), dict(ALIAS=['::1'] * 17),
                      dict(RESERVED=[(1, 1)] * 33), dict(RESERVED=[(1, 0)]),
                      dict(ADDRESS=None), dict(PORTS=None), dict(AS_OF=1),
                      dict(BLOCK_SIZE=None), dict(PORTS=[(1, 1), (1, 1)])):
            with self.assertRaises(wire.ProtocolError) as caught:
                wire.decode_message(wire.encode_message(
                    'TS CONFIG', 1, **{**fields, **wrong}))
            self.assertEqual(caught.exception.code, 204, wrong)


class SessionTest(unittest.TestCase):
    def talk(self, *cuts, **options):
        """Says a system and its blocks over connections with these cuts."""
        talk = Talk(model=BlockSink, **options)
        say, now = talk.session, talk.now
        say.capabilities = talk.sink.capabilities
        acked = []
        say.on_acked = acked.extend

        def block(start, op='MAP', user='x'):
            return Record(op, '10.0.0.7', user, now if user else None,
                          60 if user else None, ports=(start, 200))
        talk.sink.refuse = lambda part: (
            isinstance(part, Record) and part.user == 'bad' and 14)
        say.say_system(SYSTEM, now)
        say.snapshot_begin(now)
        say.submit([block(20000), block(20600, user='bad')], now)
        say.snapshot_end(now)
        say.submit([block(20800, user='y')], now)
        say.submit([block(20000, 'WITHDRAW', None)], now)
        say.refresh_all(1, now)
        for cut in cuts:
            talk.connect(cut)
        talk.connect()
        self.assertEqual(talk.sink.wrong, [], cuts)
        self.assertTrue(say.is_idle(), cuts)
        self.assertEqual(talk.sink.users, {20800: 'y'}, cuts)
        self.assertEqual(acked, [SYSTEM, block(20000), block(20800, user='y'),
                                 block(20000, 'WITHDRAW', None)], cuts)
        return talk.passed

    def test_a_cut_at_every_byte(self):
        for window in 1, 256:
            told, answered = self.talk(window=window)
            for at in range(1, told + 1):
                self.talk((at, None), window=window)
            for at in range(1, answered + 1):
                self.talk((None, at), window=window)

    def test_blocks_that_the_sink_takes_no_longer(self):
        talk = Talk(model=BlockSink)
        talk.connect()
        talk.session.say_system(SYSTEM, talk.now)
        talk.pump()
        talk.sink.acks = False
        talk.session.submit([Record('MAP', '10.0.0.7', 'x', talk.now, 60,
                                    ports=(20000, 200))], talk.now)
        talk.pump()
        former = talk.sink.session
        self.assertEqual(talk.sink.users, {20000: 'x'})
        talk.sink.capabilities = wire.SNAPSHOT
        talk.connect()
        self.assertEqual((talk.sink.said, talk.sink.wrong), ({}, []))
        self.assertNotEqual(talk.sink.session, former)
        self.assertEqual(talk.session.resync, wire.GAP)

    def test_a_system_that_is_refused(self):
        talk, refused = Talk(model=BlockSink), []
        talk.session.capabilities = talk.sink.capabilities
        talk.session.on_refused = lambda part, code: refused.append(
            (part, code))
        talk.sink.refuse = lambda part: 16
        talk.session.say_system(SYSTEM, talk.now)
        talk.connect()
        self.assertEqual(refused, [(SYSTEM, 16)])
        self.assertEqual(talk.reports, ['rejected 0 ADDRESS-TAKEN', 'acked 1'])


if __name__ == '__main__':
    unittest.main()
