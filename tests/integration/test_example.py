"""examples/agent.c, which shows how a program uses the agent's API."""
import time
import unittest

import harness
from fake_sink import FakeSink
from harness import AGENT, RECEIVER, Agent, program


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


if __name__ == '__main__':
    unittest.main()
