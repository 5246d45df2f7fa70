"""The examples: examples/agent.c, which shows how a program uses the agent's
API, and the snapshot at the end of section 8 of doc/protocol.md."""
import time
import unittest

import harness
from fake_sink import FakeSink
from harness import AGENT, RECEIVER, Agent, Peer, program
from uidrecv1 import SNAPSHOT, Record, encode_message


class Example(harness.StageTest):
    def setUp(self):
        super().setUp()
        self.stage.agents.write_text(f'{AGENT} 10.9.0.0/26 allow=drops\n')

    def start(self, port, lifetime_s=300):
        cert, key = self.stage.client
        return self.stage.keep(Agent([
            program('agent'), f'127.0.0.1:{port}', RECEIVER, cert, key,
            self.stage.authority.cert, str(lifetime_s)]))

    def until(self, what, condition):
        deadline = time.monotonic() + harness.PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, f'in vain for {what}')
            time.sleep(0.02)

    def sink(self):
        sink = FakeSink(self.stage)
        self.addCleanup(sink.close)
        return sink

    def said(self, sink):
        with sink.changed:
            return sink.sink.stream()

    def until_known(self, **users):
        wanted = {f'10.9.0.{n[1:]}': user for n, user in users.items()}
        self.until(wanted, lambda: self.stage.everybody() == wanted)

    def test_a_snapshot_at_the_start_and_changes_after_it(self):
        receiver = self.stage.start_receiver()
        agent = self.start(receiver.port)
        agent.say('1 alice', '2 bob', '3 carol', '2', '')
        self.until_known(n1='alice', n3='carol')
        agent.say('1 dave', '3', '4 erin')
        self.until_known(n1='dave', n4='erin')
        self.assertEqual(agent.end(), 0)
        # Another run knows nothing of the first.
        agent = self.start(receiver.port)
        agent.say('4 erin', '5 frank')
        self.until('a session', lambda: receiver.status()[0]['sessions'])
        self.assertEqual(self.stage.everybody(),
                         {'10.9.0.1': 'dave', '10.9.0.4': 'erin'})
        agent.say('')
        self.until_known(n4='erin', n5='frank')

    def test_it_counts_what_is_not_refused(self):
        sink = self.sink()
        sink.sink.refuse = lambda record: 4 if record.user == 'mallory' else 0
        agent = self.start(sink.port, lifetime_s=1)
        agent.say('1 alice', '2 bob', '3 mallory', '')
        self.until('all of it', lambda: ('REFRESH ALL', 2) in self.said(sink))
        # A login that is refused ends the one before it, on both sides.
        agent.say('2 mallory')
        self.until('the rest', lambda: ('REFRESH ALL', 1) in self.said(sink))
        said = self.said(sink)
        self.assertIn(('WITHDRAW', '10.9.0.2', None), said)
        self.assertNotIn(('REFRESH ALL', 3), said)
        self.assertEqual(sink.sink.wrong, [])

    def test_resync_is_answered_with_all(self):
        sink = self.sink()
        agent = self.start(sink.port)
        agent.say('1 alice', '')
        said = [('SNAPSHOT BEGIN', None), ('MAP', '10.9.0.1', 'alice'),
                ('SNAPSHOT END', 1)]
        self.until('a snapshot', lambda: self.said(sink) == said)
        sink.do('resync')
        self.until('another', lambda: self.said(sink) == said * 2)
        self.assertEqual(sink.sink.wrong, [])


class ExampleOfThePage(harness.StageTest):
    """The numbers are those of its table."""
    def setUp(self):
        super().setUp()
        self.stage.agents.write_text(f'{AGENT} 10.0.0.0/8\n')
        self.now = time.time_ns() // 1000
        self.receiver = self.stage.start_receiver()
        before = self.connect(1, 0, 0)
        before.send(before.update(*map(self.map, range(1, 5)),
                                  AS_OF=self.now))
        self.assertEqual(before.next()[:2], ('ACK', 1))

    def map(self, n):
        user = 'alice bob carol dave erin'.split()[n - 1]
        return Record('MAP', f'10.0.0.{n}', user, self.now, 3600)

    def connect(self, session, acked, durable):
        peer = Peer(self.stage, self.receiver.port)
        self.addCleanup(peer.socket.close)
        self.assertEqual(peer.next()[0], 'HELLO')
        peer.send(peer.hello(session, REPLAY=(acked + 1, acked), ACKED=acked,
                             CAPABILITIES=SNAPSHOT))
        name, _, fields = peer.next()
        self.assertEqual((name, fields['DURABLE']), ('READY', durable))
        peer.serial = durable
        return peer

    def say(self, peer, name, **fields):
        peer.serial += 1
        peer.send(encode_message(name, peer.serial, **fields))

    def answers(self, peer, last):
        """What the sink says, but for ACKs, until the ACK of the last."""
        said = []
        while True:
            name, serial, fields = peer.next()
            if name == 'ACK' and serial == last:
                return said
            if name != 'ACK':
                said.append((name, serial, fields))

    def until_known(self, *numbers):
        wanted = {f'10.0.0.{n}': self.map(n).user for n in numbers}
        deadline = time.monotonic() + harness.PATIENCE_S
        while self.stage.everybody() != wanted:
            self.assertLess(time.monotonic(), deadline, wanted)

    def begin(self):
        peer = self.connect(2, 0, 0)
        self.say(peer, 'SNAPSHOT BEGIN')
        peer.send(peer.update(self.map(1), self.map(5),
                              Record('MAP', '192.0.2.1', 'mallory'),
                              AS_OF=self.now))
        (name, serial, fields), = self.answers(peer, 2)
        self.assertEqual((name, serial), ('REJECT', 2))
        self.assertEqual([refused[:2] for refused in fields['REFUSED']],
                         [(2, 4)])
        peer.socket.close()
        self.until_known(1, 2, 3, 4, 5)
        return self.connect(2, 2, 2)

    def held(self):
        return int(self.receiver.status()[1][AGENT]['held_claims'])

    def test_taken(self):
        peer = self.begin()
        peer.send(peer.update(self.map(2), AS_OF=self.now))
        self.say(peer, 'SNAPSHOT END', COUNT=4)
        self.assertEqual(self.answers(peer, 4), [])
        self.until_known(1, 2, 5)
        self.say(peer, 'REFRESH ALL', AS_OF=self.now, COUNT=3)
        peer.send(peer.update(Record('WITHDRAW', '10.0.0.5'),
                              AS_OF=self.now))
        self.assertEqual(self.answers(peer, 6), [])
        self.assertEqual(self.receiver.status()[0]['refresh_alls'], 1)
        self.say(peer, 'REFRESH ALL', AS_OF=self.now, COUNT=3)
        self.assertEqual(self.answers(peer, 7), [])
        name, _, fields = peer.next()
        self.assertEqual((name, fields['REASON'][0]), ('RESYNC', 1))

    def test_held(self):
        peer = self.begin()
        self.say(peer, 'SNAPSHOT END', COUNT=3)
        self.say(peer, 'REFRESH ALL', AS_OF=self.now, COUNT=2)
        self.assertEqual(self.answers(peer, 4), [])
        self.assertEqual(self.held(), 3)
        self.assertEqual(self.receiver.status()[0]['refresh_alls'], 1)
        self.until_known(1, 2, 3, 4, 5)
        self.assertEqual(self.receiver.status()[0]['resyncs'], 0)


if __name__ == '__main__':
    unittest.main()
