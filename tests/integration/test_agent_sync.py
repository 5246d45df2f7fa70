"""Snapshots, RESYNC and REFRESH ALL as examples/agent.py says them: its session
alone, against a sink without sockets and with connections that are cut at any
byte; and the program, against a sink behind TLS. The sink notes whatever is
against the page (fake_sink.py); each test looks that it has noted nothing.
"""
# Needs nothing that is built.
# Mostly waits.
import json
import random
import re
import sys
import threading
import time
import unittest

import harness
import uidrecv1 as wire
from fake_sink import FakeSink, Sink
from uidrecv1 import REFRESH_ALL, SNAPSHOT, Record
from uidrecv1_source import Session

NOW = 1_700_000_000_000_000
BOTH = SNAPSHOT | REFRESH_ALL


def maps(*numbers, user='x'):
    return [Record('MAP', f'10.0.0.{n}', user, line=n) for n in numbers]


def said(*numbers, user='x'):
    return [('MAP', f'10.0.0.{n}', user) for n in numbers]


# --- The session and the sink, without sockets.

class Talk:
    """A session and a sink, and the wires between them."""
    def __init__(self, batch=2, model=Sink, **options):
        self.reports, self.now = [], NOW
        self.session = Session(self.reports.append, batch)
        self.sink = model(**options)
        self.passed = [0, 0]      # bytes, of the last connection

    def connect(self, cuts=(None, None)):
        """Talks until there is nothing to say, or a wire is cut."""
        self.now += 1000
        self.session.connected(self.now)
        self.sink.connected()
        self.passed, self.cuts = [0, 0], cuts
        self.pump()

    def pump(self):
        ends = ((self.session, lambda data: self.sink.feed(data)),
                (self.sink, lambda data: self.session.feed(data, self.now)))
        while self.session.out or self.sink.out:
            for way, (sender, feed) in enumerate(ends):
                data = bytes(sender.out)
                sender.out.clear()
                if self.cuts[way] is not None:
                    data = data[:self.cuts[way] - self.passed[way]]
                self.passed[way] += len(data)
                feed(data)
                if self.passed[way] == self.cuts[way]:
                    self.session.out.clear()
                    self.session.state = self.sink.state = 'closed'
                    return

    def say_all(self):
        """A snapshot of 5 mappings, with a logout in it, and then more."""
        say, now = self.session, self.now
        say.snapshot_begin(now)
        say.submit(maps(1, 2, 3), now)
        say.submit([Record('LOGOUT', '10.0.0.9'), *maps(4, 5)], now)
        say.snapshot_end(now)
        say.submit(maps(6), now)
        say.refresh_all(6, now)
        say.submit([Record('WITHDRAW', '10.0.0.1')], now)


EVERYTHING = [('SNAPSHOT BEGIN', None), *said(1, 2, 3),
              ('LOGOUT', '10.0.0.9', None), *said(4, 5), ('SNAPSHOT END', 5),
              *said(6), ('REFRESH ALL', 6), ('WITHDRAW', '10.0.0.1', None)]


class CutTest(unittest.TestCase):
    def talk(self, *cuts, **options):
        """Says everything over connections with these cuts, and one more."""
        talk = Talk(**options)
        talk.sink.refuse = lambda r: 4 if r.address == '10.0.0.2' else None
        talk.session.capabilities = talk.sink.capabilities
        talk.say_all()
        for cut in cuts:
            talk.connect(cut)
        talk.connect()
        self.assertEqual(talk.sink.wrong, [], cuts)
        self.assertEqual(talk.sink.stream(), EVERYTHING, cuts)
        self.assertTrue(talk.session.is_idle(), cuts)
        self.assertEqual(
            [text for text in talk.reports if 'acked' not in text],
            ['rejected 2 ADDRESS-NOT-ALLOWED'], cuts)
        self.assertEqual(talk.reports[-1], f'acked {max(talk.sink.said)}')
        self.assertEqual(len({h['SESSION'] for h in talk.sink.hellos}), 1)
        return talk.passed

    def test_a_cut_at_every_byte(self):
        for window in 1, 3, 256:
            told, answered = self.talk(window=window)
            self.assertGreater(min(told, answered), 100)
            for at in range(1, told + 1):
                self.talk((at, None), window=window)
            for at in range(1, answered + 1):
                self.talk((None, at), window=window)

    def test_many_cuts(self):
        rand = random.Random(11)
        for _ in range(500):
            told, answered = self.talk()
            cuts = [(rand.choice((None, rand.randrange(1, told))),
                     rand.choice((None, rand.randrange(1, answered))))
                    for _ in range(rand.randrange(2, 6))]
            self.talk(*cuts, window=rand.choice((1, 2, 5, 256)),
                      batch=rand.choice((1, 2, 500)))


class SessionTest(unittest.TestCase):
    def setUp(self):
        self.talk = Talk()
        self.session, self.sink = self.talk.session, self.talk.sink

    def tearDown(self):
        self.assertEqual(self.sink.wrong, [])

    def resync(self, code=1):
        self.sink.resync(code, 'why')
        self.talk.pump()

    def test_what_we_announce(self):
        self.talk.connect()
        self.assertEqual(self.sink.hellos[0]['CAPABILITIES'], SNAPSHOT)

    def test_what_the_receiver_takes(self):
        for bits in range(8):
            talk = Talk(capabilities=bits)
            talk.connect()
            self.assertEqual((talk.session.takes(SNAPSHOT),
                              talk.session.takes(REFRESH_ALL)),
                             (bool(bits & 1), bool(bits & 2)))

    def test_refresh_all_needs_a_whole_snapshot(self):
        self.talk.connect()
        self.assertFalse(self.session.can_refresh_all())
        self.session.snapshot_begin(NOW)
        self.assertFalse(self.session.can_refresh_all())
        self.session.snapshot_end(NOW)
        self.assertTrue(self.session.can_refresh_all())
        self.session.snapshot_begin(NOW)
        self.assertFalse(self.session.can_refresh_all())

    def test_resync_is_told(self):
        self.talk.connect()
        for code, name in (1, 'COUNT'), (3, 'GAP'), (99, '99'):
            self.resync(code)
            self.assertEqual(self.session.resync, code)
            self.assertEqual(self.talk.reports[-1], f'resync {name} why')

    def test_resync_while_a_snapshot_is_said(self):
        self.talk = Talk(window=2, acks=False)
        self.session, self.sink = self.talk.session, self.talk.sink
        self.talk.connect()
        self.session.snapshot_begin(NOW)
        self.resync()
        self.assertIsNone(self.session.resync)        # it is open
        self.session.submit(maps(1, 2, 3), NOW)
        self.session.snapshot_end(NOW)
        self.talk.pump()
        self.resync()
        self.assertIsNone(self.session.resync)        # its END waits
        self.sink.acks = True
        self.sink.ack()
        self.talk.pump()
        self.resync()
        self.assertEqual(self.session.resync, 1)      # its END was sent

    def test_resync_of_a_sink_that_takes_no_snapshots(self):
        self.talk = Talk(capabilities=REFRESH_ALL)
        self.session, self.sink = self.talk.session, self.talk.sink
        self.talk.connect()
        self.resync()
        self.assertEqual(self.sink.bye_code, wire.BAD_STATE)
        self.assertIsNone(self.session.resync)

    def test_resync_before_ready(self):
        self.session.connected(NOW)
        self.sink.connected()
        self.sink.capabilities = BOTH
        self.session.feed(bytes(self.sink.out), NOW)
        self.session.feed(wire.encode_message(
            'RESYNC', REASON=(1, '')).encode(), NOW)
        self.assertIn('205', self.session.reason)

    def test_resync_with_a_serial_or_without_a_reason(self):
        for frame in (wire.encode_message('RESYNC', 1, REASON=(1, '')),
                      wire.encode_message('RESYNC')):
            talk = Talk()
            talk.connect()
            talk.session.feed(frame.encode(), NOW)
            self.assertIn('204', talk.session.reason)

    def test_reject_of_what_has_no_records(self):
        self.sink.acks = False
        self.talk.connect()
        self.session.snapshot_begin(NOW)
        self.talk.pump()
        self.sink.reject(1, (0, 1, ''))
        self.talk.pump()
        self.assertEqual(self.sink.bye_code, wire.BAD_MESSAGE)

    def test_what_was_never_sent_is_thrown_away_without_a_gap(self):
        self.talk = Talk(window=2, acks=False)
        self.session, self.sink = self.talk.session, self.talk.sink
        self.talk.connect()
        self.talk.say_all()
        self.session.discard()
        self.session.snapshot_begin(self.talk.now)
        self.session.submit(maps(7), self.talk.now)
        self.session.snapshot_end(self.talk.now)
        self.sink.acks = True
        self.talk.connect()
        self.assertEqual(self.sink.stream(), [
            ('SNAPSHOT BEGIN', None), *said(1, 2), ('SNAPSHOT BEGIN', None),
            *said(7), ('SNAPSHOT END', 1)])
        self.assertTrue(self.session.is_idle())

    def test_a_receiver_that_takes_them_no_longer(self):
        for bits in 0, SNAPSHOT, REFRESH_ALL:
            talk = Talk(acks=False)
            talk.connect()
            talk.sink.refuse = lambda r: 4 if r.address == '10.0.0.2' else 0
            talk.say_all()
            talk.pump()
            talk.sink.capabilities, talk.sink.acks = bits, True
            talk.connect()
            self.assertEqual(talk.sink.wrong, [])
            self.assertEqual(talk.sink.stream(), [
                what for what in EVERYTHING
                if len(what) == 3 and what[1] != '10.0.0.2'])
            self.assertTrue(talk.session.is_idle())
            self.assertFalse(talk.session.can_refresh_all())
            one, two = talk.sink.hellos
            self.assertNotEqual(one['SESSION'], two['SESSION'])
            self.assertEqual((two['REPLAY'], two['ACKED']), ((1, 0), 0))

    def test_what_it_refused_is_not_said_again_without_them(self):
        self.sink.acks, self.sink.refuse = False, lambda record: 4
        self.talk.connect()
        self.session.snapshot_begin(NOW)
        self.session.submit(maps(1, 2), NOW)
        self.talk.pump()
        self.sink.capabilities, self.sink.refuse = 0, None
        self.sink.acks = True
        self.talk.connect()
        self.assertEqual((self.sink.said, self.sink.wrong), ({}, []))
        self.assertEqual(self.session.state, 'open')

    def test_a_sink_that_lost_what_it_acknowledged(self):
        self.talk.connect()
        self.talk.say_all()
        self.talk.pump()
        self.sink.said = {1: self.sink.said[1]}
        self.talk.connect()
        self.assertEqual(self.sink.wrong, ['REPLAY with a gap'])
        self.sink.wrong.clear()

    def test_the_size_of_a_frame_is_that_of_the_receiver(self):
        self.talk = Talk(batch=1000, frame_max=4096)
        self.session, self.sink = self.talk.session, self.talk.sink
        users = maps(*range(1, 101), user='x' * 255)
        self.session.snapshot_begin(NOW)
        self.session.submit(users, NOW)
        self.session.snapshot_end(NOW)
        self.talk.connect()
        self.assertGreater(len(self.sink.said), 5)
        self.assertEqual(self.sink.stream()[-1], ('SNAPSHOT END', 100))


# --- The program.

class ProgramTest(unittest.TestCase):
    def setUp(self):
        self.sinks = []
        self.addCleanup(self.look_at_sinks)

    @classmethod
    def setUpClass(cls):
        cls.stage = harness.Stage()
        cls.addClassCleanup(cls.stage.close)

    def look_at_sinks(self):
        for fake in self.sinks:
            fake.close()
            self.assertEqual(fake.sink.wrong, [])

    def start_sink(self, **options):
        self.sinks.append(FakeSink(self.stage, **options))
        return self.sinks[-1]

    def start(self, *sinks, more=('--settle', '0.2'), lines=True):
        arguments = self.stage.agent_arguments('agent.py', sinks[0].port)
        arguments.remove('--no-snapshot')
        for fake in sinks[1:]:
            arguments += ['--connect', f'127.0.0.1:{fake.port}']
        process = self.stage.keep(harness.Agent(
            arguments + ['--lines'] * lines + [*more, '-']))
        self.addCleanup(process.kill)
        return process

    def begin(self, *lines, more=(), **options):
        """A sink, an agent that has said these lines, and its snapshot."""
        fake = self.start_sink(**options)
        agent = self.start(fake, more=('--settle', '0.2', *more))
        agent.say(*lines)
        fake.wait(lambda sink: sink.snapshot()[1])
        return fake, agent

    def test_it_begins_with_a_snapshot(self):
        fake, agent = self.begin('map 10.0.0.1 x', 'withdraw 10.0.0.7',
                                 'map 10.0.0.2 x')
        agent.say('map 10.0.0.3 x')
        fake.wait(lambda sink: len(sink.stream()) == 6)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(fake.sink.stream(), [
            ('SNAPSHOT BEGIN', None), *said(1),
            ('WITHDRAW', '10.0.0.7', None), *said(2), ('SNAPSHOT END', 2),
            *said(3)])
        self.assertEqual(fake.sink.bye_code, wire.BYE_SHUTDOWN)

    def test_the_end_of_the_input_ends_the_snapshot(self):
        fake = self.start_sink()
        agent = self.start(fake, more=('--settle', '1000'))
        agent.say('map 10.0.0.1 x')
        self.assertEqual(agent.end(), 0)
        self.assertEqual(fake.sink.stream(), [
            ('SNAPSHOT BEGIN', None), *said(1), ('SNAPSHOT END', 1)])

    def test_a_receiver_without_capabilities_hears_nothing_of_it(self):
        fake = self.start_sink(capabilities=4)
        agent = self.start(fake, more=('--settle', '0', '--refresh-every',
                                       '0.2'))
        agent.say('map 10.0.0.1 x')
        fake.wait(lambda sink: ('REFRESH', '10.0.0.1', 'x') in sink.stream())
        self.assertEqual(agent.end(), 0)
        self.assertEqual({what[0] for what in fake.sink.stream()},
                         {'MAP', 'REFRESH'})

    def test_without_a_snapshot(self):
        fake = self.start_sink()
        agent = self.start(fake, more=('--no-snapshot', '--settle', '0'))
        agent.say('map 10.0.0.1 x')
        agent.wait_acked(1)
        fake.do('resync', 2)
        fake.wait(lambda sink: sink.snapshot()[1])
        self.assertEqual(agent.end(), 0)
        self.assertEqual(fake.sink.stream(), [
            *said(1), ('SNAPSHOT BEGIN', None), *said(1), ('SNAPSHOT END', 1)])

    def test_resync_gets_all_that_is_said(self):
        fake, agent = self.begin(
            'map 10.0.0.1 a age_ms=5000 token=7', 'map 10.0.0.2 b',
            'map ::ffff:10.0.0.2 c', 'map 10.0.0.3 d age_ms=1000',
            'map 10.0.0.3 e age_ms=2000', 'map 10.0.0.4 f',
            'logout 10.0.0.4', 'logout 10.0.0.4 g', 'map 10.0.0.5 h token=1',
            'logout 10.0.0.5 h token=2', 'map 10.0.0.6 i lifetime_s=1',
            'withdraw 10.0.0.7', 'map 10.0.0.8 j lifetime_s=1000',
            'logout 10.0.0.8 j age_ms=60000')
        first, end = fake.wait(lambda sink: sink.snapshot())
        time.sleep(1)             # as long as i lives
        agent.say('map 10.0.0.9 k', 'withdraw 10.0.0.9', 'logout 10.0.0.4 f')
        fake.wait(lambda sink: len(sink.stream()) == 19)
        fake.do('resync', 1, 'bad\ncount')
        begin, end = fake.wait(lambda sink: sink.snapshot()[0] > first
                               < sink.snapshot()[1] > sink.snapshot()[0]
                               and sink.snapshot())
        self.assertEqual(agent.end(), 0)
        self.assertIn('resync COUNT bad?count', agent.out.lines)
        records = [record for serial in range(begin + 1, end)
                   for record in fake.sink.said[serial][1]['records']]
        self.assertEqual([(r.address, r.user, r.token) for r in records], [
            ('10.0.0.1', 'a', 7), ('::ffff:a00:2', 'c', None),
            ('10.0.0.3', 'd', None), ('10.0.0.5', 'h', 1),
            ('10.0.0.8', 'j', None)])
        # At the time of its event, and no longer than it had to live.
        before = fake.sink.said[2][1]
        self.assertEqual(records[0].event_time_us,
                         before['records'][0].event_time_us)
        self.assertEqual(records[1].event_time_us, before['AS_OF'])
        self.assertIsNone(records[0].lifetime_s)
        self.assertLess(900, records[4].lifetime_s)
        self.assertLess(records[4].lifetime_s, 1000)

    def test_logouts_that_end_what_is_said(self):
        fake, agent = self.begin(
            'map 10.0.0.1 a', 'map 10.0.0.2 b token=3',
            'map 10.0.0.3 c age_ms=10')
        agent.say('logout 10.0.0.1 a', 'logout 10.0.0.2 token=3',
                  'logout 10.0.0.3')
        fake.wait(lambda sink: len(sink.stream()) == 8)
        fake.do('resync')
        fake.wait(lambda sink: sink.stream()[8:] == [
            ('SNAPSHOT BEGIN', None), ('SNAPSHOT END', 0)])
        self.assertEqual(agent.end(), 0)

    def test_refresh_all_counts_what_is_alive_and_was_taken(self):
        fake = self.start_sink()
        fake.sink.refuse = lambda r: 5 if r.user == 'refused' else None
        agent = self.start(fake, more=('--settle', '0.2', '--refresh-every',
                                       '0.5'))
        agent.say('map 10.0.0.1 x', 'map 10.0.0.2 refused', 'map 10.0.0.3 x')
        fake.wait(lambda sink: ('REFRESH ALL', 2) in sink.stream())
        agent.say('withdraw 10.0.0.3')
        fake.wait(lambda sink: ('REFRESH ALL', 1) in sink.stream())
        agent.say('map 10.0.0.2 x')
        fake.wait(lambda sink: sink.stream().count(('REFRESH ALL', 2)) > 1
                  or sink.stream()[-1] == ('REFRESH ALL', 2))
        self.assertEqual(agent.end(), 1)
        self.assertEqual(agent.rejected(), [('2', 'USER-INVALID')])
        self.assertNotIn('REFRESH', [what[0] for what in fake.sink.stream()])

    def test_refreshes_one_by_one(self):
        for more, bits in (('--no-snapshot',), BOTH), ((), SNAPSHOT):
            fake = self.start_sink(capabilities=bits)
            agent = self.start(fake, more=('--settle', '0', *more,
                                           '--refresh-every', '0.3'))
            agent.say('map 10.0.0.1 x lifetime_s=50', 'map 10.0.0.2 x')
            fake.wait(lambda sink: ('REFRESH', '10.0.0.2', 'x')
                      in sink.stream())
            self.assertEqual(agent.end(), 0)
            records = [record for _, fields in fake.sink.said.values()
                       for record in fields.get('records', ())]
            self.assertIn(Record('REFRESH', '10.0.0.1', 'x', lifetime_s=50),
                          records)
            self.assertNotIn('REFRESH ALL',
                             [what[0] for what in fake.sink.stream()])

    def test_what_is_not_found_is_mapped_again(self):
        fake = self.start_sink(capabilities=0)
        fake.sink.refuse = lambda r: 12 if r.op == 'REFRESH' else None
        agent = self.start(fake, more=('--refresh-every', '0.3'))
        agent.say('map 10.0.0.1 x')
        fake.wait(lambda sink: sink.stream()[:3] == [
            *said(1), ('REFRESH', '10.0.0.1', 'x'), *said(1)])
        first, again = [fields['records'][0].event_time_us or fields['AS_OF']
                        for name, fields in fake.sink.said.values()
                        if name == 'UPDATE'
                        and fields['records'][0].op == 'MAP'][:2]
        self.assertEqual(first, again)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(agent.rejected(), [])

    def test_commands_are_not_kept_alive_unasked(self):
        fake, agent = self.begin('map 10.0.0.1 x lifetime_s=1')
        time.sleep(1.5)
        self.assertEqual(agent.end(), 0)
        self.assertNotIn('REFRESH ALL',
                         [what[0] for what in fake.sink.stream()])

    @staticmethod
    def event(number, address, user, logon_id, kind='2', ago_s=0):
        moment = time.strftime('%Y-%m-%dT%H:%M:%SZ',
                               time.gmtime(time.time() - ago_s))
        return json.dumps(dict(
            id=number, ts=moment, ip=address, user=user, domain='CORP',
            type=kind, logonid=logon_id, host='h'))

    def test_only_who_is_logged_on_is_kept_alive(self):
        fake = self.start_sink()
        agent = self.start(fake, lines=False, more=(
            '--settle', '0.2', '--refresh-every', '0.5', '--lifetime', '60'))
        agent.say(self.event(4624, '10.0.0.1', 'a', 1),
                  self.event(4624, '10.0.0.2', 'b', 2, kind='10'))
        fake.wait(lambda sink: ('REFRESH ALL', 2) in sink.stream())
        agent.say(self.event(4768, '10.0.0.3', 'c', None))
        fake.wait(lambda sink: ('REFRESH', '10.0.0.1', 'CORP\\a')
                  in sink.stream())
        agent.say(self.event(4634, None, 'a', 1))
        at = fake.wait(lambda sink: ('LOGOUT', '10.0.0.1', None)
                       in sink.stream() and len(sink.stream()))
        fake.wait(lambda sink: len(sink.stream()) > at)
        self.assertEqual(agent.end(), 0)
        for op, address, user in fake.sink.stream()[at:]:
            self.assertEqual((op, address), ('REFRESH', '10.0.0.2'))
        lifetimes = {record.lifetime_s for _, fields
                     in fake.sink.said.values()
                     for record in fields.get('records', ())
                     if record.op != 'LOGOUT'}
        self.assertEqual(lifetimes, {60})

    def test_a_disconnected_session_is_not_kept_alive(self):
        fake = self.start_sink()
        agent = self.start(fake, lines=False, more=(
            '--settle', '0.2', '--refresh-every', '0.3'))
        agent.say(self.event(4624, '10.0.0.1', 'a', 1, ago_s=20),
                  self.event(4624, '10.0.0.2', 'b', 2, ago_s=20),
                  self.event(4768, '10.0.0.1', 'a', None, ago_s=10),
                  self.event(4779, '10.0.0.1', 'a', 1, ago_s=5))
        fake.wait(lambda sink: ('REFRESH', '10.0.0.2', 'CORP\\b')
                  in sink.stream())
        self.assertEqual(agent.end(), 0)
        self.assertNotIn(('REFRESH', '10.0.0.1', 'CORP\\a'),
                         fake.sink.stream())

    def test_who_logs_on_after_all_gets_a_whole_life_first(self):
        """What a snapshot gave the rest of a life is not renewed by all."""
        fake = self.start_sink()
        agent = self.start(fake, lines=False, more=(
            '--settle', '0.2', '--refresh-every', '0.4', '--lifetime', '60'))
        agent.say(self.event(4768, '10.0.0.1', 'a', None, ago_s=10))
        fake.wait(lambda sink: sink.snapshot()[1])
        fake.do('resync')
        fake.wait(lambda sink: sink.stream().count(('SNAPSHOT END', 1)) == 2)
        agent.say(self.event(4624, '10.0.0.1', 'a', 1, ago_s=20))
        fake.wait(lambda sink: sink.stream()[-1] == ('REFRESH ALL', 1))
        self.assertEqual(agent.end(), 0)
        self.assertEqual([what[0] for what in fake.sink.stream()[6:9]],
                         ['MAP', 'REFRESH', 'REFRESH ALL'])

    def test_the_input_waits_for_a_receiver_that_is_there(self):
        fake = self.start_sink(acks=False, window=2)
        agent = self.start(fake)
        written, lines = [], ['map 10.0.0.1 x'] * 1000
        writer = threading.Thread(target=lambda: [
            (agent.say(*lines), written.append(1)) for _ in range(40)])
        writer.start()
        fake.wait(lambda sink: sink.durable == 2)
        seen = -1
        while len(written) > seen:
            seen = len(written)
            time.sleep(1)         # or it is read on
        self.assertLess(seen, 40)
        fake.sink.acks = True
        fake.do('ack')
        writer.join(harness.PATIENCE_S)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(fake.sink.stream()[-1], ('SNAPSHOT END', 40_000))

    def test_a_queue_that_has_overflowed(self):
        fake, agent = self.begin('map 10.0.0.1 x', 'map 10.0.0.2 x',
                                 more=('--queue', '3'))
        agent.wait_acked(3)
        fake.go_away()
        self.assertTrue(agent.err.wait('lost'))
        agent.say('withdraw 10.0.0.1',
                  *(f'map 10.0.0.{n} {user}' for user in ('z', 'y')
                    for n in range(3, 20)))
        self.assertTrue(agent.err.wait('away for too long'))
        agent.say('map 10.0.0.20 y', 'withdraw 10.0.0.3')
        time.sleep(0.5)           # or it is said by itself
        fake.come_back()
        fake.wait(lambda sink: sink.snapshot()[1] > sink.snapshot()[0] > 1)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(fake.sink.stream()[4:], [
            ('SNAPSHOT BEGIN', None), *said(2), *said(*range(4, 21), user='y'),
            ('SNAPSHOT END', 18)])
        self.assertEqual(len({h['SESSION'] for h in fake.sink.hellos}), 1)

    def test_a_queue_that_has_not_overflowed_is_replayed(self):
        fake, agent = self.begin('map 10.0.0.1 x')
        fake.go_away()
        agent.say('withdraw 10.0.0.1', 'map 10.0.0.2 x')
        fake.come_back()
        fake.wait(lambda sink: len(sink.stream()) == 5)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(fake.sink.stream()[3:],
                         [('WITHDRAW', '10.0.0.1', None), *said(2)])

    def test_an_overflow_without_snapshots(self):
        away = self.start_sink(capabilities=0)
        there = self.start_sink()
        agent = self.start(away, there, more=('--queue', '0', '--settle',
                                              '0.2'))
        agent.say('map 10.0.0.1 x')
        away.wait(lambda sink: sink.stream() == said(1))
        away.go_away()
        self.assertTrue(agent.err.wait('lost'))
        agent.say('map 10.0.0.2 x', 'withdraw 10.0.0.2', 'map 10.0.0.2 y',
                  'map 10.0.0.3 y')
        there.wait(lambda sink: said(3, user='y')[0] in sink.stream())
        self.assertTrue(agent.err.wait('away for too long'))
        away.come_back()
        away.wait(lambda sink: sink.stream()
                  == [*said(1, 1), *said(2, 3, user='y')])
        self.assertEqual(agent.end(), 0)

    def test_a_receiver_that_learns_of_snapshots(self):
        fake = self.start_sink(capabilities=0)
        agent = self.start(fake)
        agent.say('map 10.0.0.1 x')
        agent.wait_acked(1)
        fake.sink.capabilities = BOTH
        fake.do('drop')
        fake.wait(lambda sink: sink.snapshot()[1])
        self.assertEqual(agent.end(), 0)
        self.assertEqual(fake.sink.stream(), [
            *said(1), ('SNAPSHOT BEGIN', None), *said(1), ('SNAPSHOT END', 1)])

    def test_cuts(self):
        """The program, cut in both directions; twice each."""
        for way in 'cut_in', 'cut_out':
            for at in 1, 15, 112, 130, 200, 333:
                fake = self.start_sink()
                setattr(fake, way, at)
                agent = self.start(fake, more=('--batch', '1'))
                agent.say(*(f'map 10.0.0.{n} x' for n in range(1, 31)))
                fake.wait(lambda sink: sink.snapshot()[1])
                setattr(fake, way, at // 2 + 60)
                agent.say(*(f'map 10.0.0.{n} y' for n in range(1, 31)))
                self.assertEqual(agent.end(), 0, (way, at))
                self.assertEqual(fake.sink.stream(), [
                    ('SNAPSHOT BEGIN', None), *said(*range(1, 31)),
                    ('SNAPSHOT END', 30), *said(*range(1, 31), user='y')])
                self.assertGreater(fake.connections, 1)

    def test_two_receivers(self):
        one, two = self.start_sink(), self.start_sink(capabilities=0)
        agent = self.start(one, two)
        agent.say('map 10.0.0.1 x')
        one.wait(lambda sink: sink.snapshot()[1])
        two.wait(lambda sink: sink.stream() == said(1))
        one.go_away()
        agent.say('map 10.0.0.2 x')
        two.wait(lambda sink: sink.stream() == said(1, 2))
        two.go_away()
        one.come_back()
        one.wait(lambda sink: sink.stream()[3:] == said(2))
        two.come_back()
        self.assertEqual(agent.end(), 0)
        self.assertNotEqual(one.sink.session, two.sink.session)
        for fake in one, two:
            serial = fake.sink.durable
            self.assertIn(f'127.0.0.1:{fake.port} acked {serial}',
                          agent.out.lines)

    def test_one_of_two_was_never_there(self):
        one, late = self.start_sink(), self.start_sink()
        late.go_away()
        agent = self.start(one, late)
        agent.say('map 10.0.0.1 x', 'map 10.0.0.2 x', 'withdraw 10.0.0.1')
        one.wait(lambda sink: sink.snapshot()[1])
        late.come_back()
        late.wait(lambda sink: sink.snapshot()[1])
        self.assertEqual(agent.end(), 0)
        self.assertEqual(late.sink.stream(), [
            ('SNAPSHOT BEGIN', None), *said(2), ('SNAPSHOT END', 1)])

    def test_one_of_two_refuses_us(self):
        one, other = self.start_sink(), self.start_sink()
        agent = self.start(one, other)
        for fake in one, other:
            fake.wait(lambda sink: sink.snapshot()[1])
        one.do('send', 'BYE', REASON=(303, 'superseded'))
        self.assertTrue(agent.err.wait('303 superseded'))
        agent.say('map 10.0.0.1 x')
        other.wait(lambda sink: said(1)[0] in sink.stream())
        self.assertEqual(agent.end(), 3)
        self.assertEqual(one.connections, 1)

    def test_usage(self):
        for more in (('--name', 'a', '--name', 'b'), ('--lifetime', '0'),
                     ('--refresh-every', '-1'), ('--settle', 'x')):
            process = harness.Process([
                sys.executable, '-B', str(harness.EXAMPLES / 'agent.py'),
                '--connect', '[::1]:9', '--cert', 'x', '--key', 'x', '--ca',
                'x', *more, '-'])
            self.assertEqual(process.wait(), 2)
            self.assertFalse([line for line in process.err.lines
                              if re.search('Traceback', line)])


if __name__ == '__main__':
    unittest.main()
