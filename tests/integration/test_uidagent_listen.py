"""uidagent that waits for receivers, and what it says of port blocks."""
import time
import unittest

import harness
from harness import Receiver, program

SYSTEM = 'system 10.0.0.1 ports=20000+1000 block=200'


class ListenTest(harness.StageTest):
    def setUp(self):
        super().setUp()
        self.stage.agents.write_text(
            f'{harness.AGENT} 10.0.0.0/8 allow=multi-user\n')

    def start(self, *firewalls, more=()):
        cert, key = self.stage.client
        arguments = [program('uidagent'), '-v', '--listen', '127.0.0.1:0',
                     '--cert', cert, '--key', key, '--ca',
                     self.stage.authority.cert]
        for name in firewalls:
            arguments += ['--firewall', name]
        agent = self.stage.keep(harness.Agent([*arguments, *more]))
        port = agent.err.wait(r'listening on port (\d+)$')
        self.assertIsNotNone(port, agent.err.lines)
        agent.port = int(port[1])
        return agent

    def dial(self, agent):
        dials = ('--ts-agent', f'{harness.AGENT}=127.0.0.1:{agent.port}')
        return self.stage.keep(Receiver(self.stage.receiver_arguments(
            listen=(), more=('-v', *dials)))).wait_ready()

    def fails(self, agent, message):
        self.assertEqual(agent.end(), 2, agent.err.lines)
        self.assertIn(message, '\n'.join(agent.err.lines))

    def test_receiver_that_connects(self):
        agent = self.start(harness.RECEIVER)
        agent.say('map 10.0.0.1 alice')
        receiver = self.dial(agent)
        agent.wait_acked(1)
        self.assertEqual(self.stage.everybody(), {'10.0.0.1': 'alice'})
        receiver.stop()
        agent.say('map 10.0.0.2 bob')
        self.dial(agent)
        agent.wait_acked(2)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(self.stage.everybody(),
                         {'10.0.0.1': 'alice', '10.0.0.2': 'bob'})

    def test_two_firewalls_and_one_is_away(self):
        agent = self.start(harness.RECEIVER, 'away.example')
        agent.say('map 10.0.0.1 alice')
        self.dial(agent)
        agent.need(f'^{harness.RECEIVER} acked 1$')
        self.assertTrue(agent.is_running())

    def test_nobodys_firewall(self):
        agent = self.start('other.example')
        receiver = self.dial(agent)
        self.assertIsNotNone(agent.err.wait('not let in as localhost'),
                             agent.err.lines)
        self.assertEqual(receiver.status()[0]['claims'], 0)

    def test_command_lines(self):
        cert, key = self.stage.client
        files = ['--cert', cert, '--key', key, '--ca',
                 self.stage.authority.cert]
        for arguments, message in (
                (['--listen', '127.0.0.1:0'], '--firewall'),
                (['--firewall', 'a.example'], '--listen'),
                (['--listen', 'x', '--firewall', 'a'], '"x"'),
                (['--listen', '127.0.0.1:0', '--connect', 'a:1'],
                 '--connect'),
                (['--listen', '127.0.0.1:0', '--firewall', '10.0.0.1'],
                 '--firewall 10.0.0.1'),
                (['--listen', '127.0.0.1:0', '--firewall', 'a.example',
                  '--firewall', 'A.example'], '--firewall A.example')):
            with self.subTest(arguments):
                self.fails(self.stage.keep(harness.Agent(
                    [program('uidagent'), *files, *arguments])), message)

    def test_lines_that_are_wrong(self):
        for line, word in (
                ('system', 'address'), ('system 10.0.0.1', 'ports='),
                ('system 10.0.0.1 ports=20000+1000', 'block='),
                ('system 10.0.0.1 ports=20000+100 block=200', 'fit'),
                ('system 10.0.0.1 ports=65000+1000 block=200', '65000+1000'),
                (SYSTEM + ' alias=10.0.0.2,', 'alias='),
                (SYSTEM + ' alias=' + ','.join(
                    f'10.1.0.{i}' for i in range(17)), '16'),
                (SYSTEM + ' reserved=20000', 'reserved='),
                (SYSTEM + ' reserved=' + ','.join(['20000+1'] * 33), '32'),
                (SYSTEM + ' lifetime_s=3', 'not allowed'),
                ('map 10.0.0.1 a ports=20000', 'ports='),
                ('map 10.0.0.1 a ports=20000+0', 'ports='),
                ('map 10.0.0.1 a block=200', 'not allowed'),
                ('withdraw 10.0.0.1 ports=20000-20199', 'ports=')):
            with self.subTest(line):
                agent = self.start(harness.RECEIVER)
                agent.say(line)
                match = agent.err.wait('standard input, line 1: ')
                self.assertIsNotNone(match, agent.err.lines)
                self.assertIn(word, match.string)
                agent.kill()


if __name__ == '__main__':
    unittest.main()
