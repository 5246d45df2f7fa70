"""uidagent that waits for receivers, and what it says of port blocks."""
import json
import shutil
import subprocess
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

    def answer(self, question):
        done = subprocess.run([program('uidlookup'), '--table',
                               self.stage.table, '--json', question],
                              capture_output=True, timeout=harness.PATIENCE_S)
        return json.loads(done.stdout)

    def users(self, *ports):
        return [self.answer(f'10.0.0.1:{port}').get('user') or None
                for port in ports]

    def until(self, what, condition):
        deadline = time.monotonic() + harness.PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, f'in vain for {what}')
            time.sleep(0.02)

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

    def test_blocks(self):
        agent = self.start(harness.RECEIVER)
        agent.say(SYSTEM + ' alias=10.0.0.2,10.0.0.3 reserved=20200+1,20400+9',
                  'map 10.0.0.1 whole', 'map 10.0.0.2 alice ports=20000+200',
                  'map 10.0.0.1 bob lifetime_s=500 ports=20600+200',
                  'map 10.0.0.1 carol ports=20200+200',
                  'map 10.0.0.9 carol ports=20800+200')
        receiver = self.dial(agent)
        agent.wait_acked(2)
        self.assertEqual(agent.rejected(), [('5', 'PORTS-INVALID'),
                                            ('6', 'NOT-MULTI-USER')])
        self.assertEqual(self.users(20000, 20199, 20200, 20600, 20799, 20800),
                         ['alice', 'alice', None, 'bob', 'bob', None])
        self.assertEqual(self.answer('10.0.0.3:20001')['user'], 'alice')
        agent.say('logout 10.0.0.1 alice ports=20000+200',
                  'refresh 10.0.0.3 bob ports=20600+200', 'refresh-all')
        agent.wait_acked(4)
        self.assertEqual(self.users(20000, 20600), [None, 'bob'])
        # A refresh of all needs a snapshot: it has asked, and was told all.
        agent.need('^resync ')
        agent.wait_acked(8)
        self.assertEqual(self.users(20000, 20600), [None, 'bob'])
        agent.say('refresh-all', 'withdraw 10.0.0.1 ports=20600+200')
        agent.wait_acked(10)
        self.assertEqual(self.users(20600), [None])
        counters = receiver.status()[0]
        self.assertEqual(counters['refresh_alls'], 1)
        self.assertEqual(agent.end(), 1)

    def test_receiver_that_lost_all_is_told_the_system_and_its_blocks(self):
        agent = self.start(harness.RECEIVER)
        agent.say(SYSTEM + ' alias=10.0.0.2', 'map 10.0.0.1 old '
                  'ports=20000+200')
        receiver = self.dial(agent)
        agent.wait_acked(2)
        # Cut otherwise: what was said is over. The alias goes and stays.
        agent.say('system 10.0.0.1 ports=20000+1000 block=100 alias=10.0.0.2',
                  'map 10.0.0.2 alice ports=20100+100',
                  'system 10.0.0.1 ports=20000+1000 block=100')
        agent.wait_acked(5)
        self.assertEqual(self.users(20000, 20100), [None, 'alice'])
        receiver.stop()
        shutil.rmtree(self.stage.store)
        self.dial(agent)
        agent.need('^resync ')
        agent.say('map 10.0.0.1 bob ports=20200+100')
        self.until('the snapshot', lambda: self.users(20000, 20100, 20200) ==
                   [None, 'alice', 'bob'])
        self.assertEqual(agent.rejected(), [])
        self.assertEqual(agent.end(), 0)

    def test_who_may_not(self):
        self.stage.agents.write_text(f'{harness.AGENT} 10.0.0.0/8\n')
        agent = self.start(harness.RECEIVER)
        agent.say(SYSTEM, 'map 10.0.0.2 alice')
        self.dial(agent)
        agent.wait_acked(2)
        agent.say('snapshot', 'map 10.0.0.2 alice', 'end')
        agent.wait_acked(6)
        self.assertEqual(agent.rejected(),
                         [('1', 'MULTI-USER-NOT-ALLOWED')] * 2)
        self.assertEqual(agent.end(), 1)
        self.assertEqual(self.stage.everybody(), {'10.0.0.2': 'alice'})

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
