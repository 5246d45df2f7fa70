"""uidagent as a Terminal Server agent, against firewalls that note whatever is
against doc/protocol.md (block_sink.py).
"""
import random
import socket
import unittest

from ts_stage import harness
from block_sink import BlockSink
from fake_sink import FakeDialer

NAMES = ('fw1.example', 'fw2.example')
SYSTEM = ('system 10.0.0.7 ports=20000+2000 block=200 '
          'reserved=20350+10 alias=2001:db8::7')


class UidagentTest(harness.StageTest):
    def setUp(self):
        super().setUp()
        cert, key = self.stage.authority.issue(harness.AGENT,
                                               usage='serverAuth')
        with socket.create_server(('127.0.0.1', 0)) as free:
            self.port = free.getsockname()[1]
        self.agent = self.stage.keep(harness.Agent([
            harness.program('uidagent'), '-v', '--listen',
            f'127.0.0.1:{self.port}', '--cert', cert, '--key', key, '--ca',
            self.stage.authority.cert, *(word for name in NAMES
                                         for word in ('--firewall', name))]))
        self.dialers = []

    def dial(self, name, **options):
        certificate = self.stage.authority.issue(name, usage='clientAuth')
        dialer = FakeDialer(self.stage, self.port, certificate, BlockSink,
                            **options)
        self.addCleanup(dialer.close)
        self.dialers.append(dialer)
        return dialer

    def block(self, start, user, op='map'):
        return (f'{op} 10.0.0.7 {user} lifetime_s=60 ports={start}+200'
                if op == 'map' else f'{op} 10.0.0.7 ports={start}+200')

    def end(self):
        self.assertEqual(self.agent.end(), 0, self.agent.err.lines)
        for dialer in self.dialers:
            with dialer.changed:
                self.assertEqual(dialer.sink.wrong, [])

    def test_blocks_and_a_snapshot(self):
        one, two = map(self.dial, NAMES)
        self.agent.say(SYSTEM, 'snapshot', self.block(20000, 'x'),
                       self.block(20400, 'y'), 'end',
                       self.block(20000, '', 'withdraw'), 'refresh-all')
        for fw in one, two:
            fw.wait(lambda sink: sink.users == {20400: 'y'} and
                    sink.refreshes == 1)
            fw.do('resync')
            fw.wait(lambda sink: sink.snapshot()[1] > 8)
        self.end()

    def test_cuts(self):
        rand = random.Random(8)
        fws = [self.dial(name) for name in NAMES]
        self.agent.say(SYSTEM, 'snapshot', 'end')
        users = {}
        for n in range(40):
            for fw in fws:
                fw.cut_soon(rand)
            start = rand.choice((20000, 20400, 20600, 21800))
            if start in users:
                del users[start]
                self.agent.say(self.block(start, '', 'withdraw'))
            else:
                users[start] = f'u{n}'
                self.agent.say(self.block(start, users[start]))
            for fw in fws:
                fw.wait(lambda sink: sink.users == users)
        for fw in fws:
            with fw.changed:
                fw.cut_in = fw.cut_out = None
            fw.wait(lambda sink: sink.users == users)
            self.assertGreater(fw.connections, 5)
        self.end()


if __name__ == '__main__':
    unittest.main()
