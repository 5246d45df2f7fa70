"""examples/ts_agent.py under a real receiver that connects to it, each side
written by itself from doc/protocol.md. What the agent says is given has to be
answered at once, what it says is free must not be answered any more, whatever
is cut or killed.
"""
import json
import random
import signal
import time
import unittest

from ts_stage import TsAgent, Wire, harness

TS = 'ts.example'
SYSTEM = '10.0.0.7 20000+1000 100 alias=2001:db8::7 reserve=20350+10'
STARTS = [start for start in range(20000, 21000, 100) if start != 20300]
MULTI_USER = (f'{TS} 10.0.0.0/8 2001:db8::/32 allow=multi-user,drops '
              'priority=1\n')
SINGLE_USER = MULTI_USER.replace('multi-user,', '')
PLAIN = f'{harness.AGENT} 0.0.0.0/0 ::/0 priority=9\n'


class ReceiverTest(harness.StageTest):
    def setUp(self):
        super().setUp()
        self.stage.agents.write_text(MULTI_USER + PLAIN)
        self.certificate = self.stage.authority.issue(TS, usage='serverAuth')
        self.agent = self.start_agent()
        self.wire = Wire(lambda: self.agent.port)
        self.addCleanup(self.wire.close)
        self.receiver = self.start_receiver()
        self.lookup = None

    def start_agent(self, *more, port=0):
        return TsAgent(self.stage, self.certificate, [harness.RECEIVER],
                       '--system', SYSTEM, '--rest', '0', '--lifetime', '30',
                       *more, port=port)

    def start_receiver(self):
        return self.stage.start_receiver(more=(
            '-v', '--ts-agent', f'{TS}=127.0.0.1:{self.wire.port}'))

    def ask(self, query):
        """The user, or what else the answer is; None: unknown."""
        if self.lookup is None:
            self.lookup = self.stage.start_lookup()
        start = len(self.lookup.out.lines)
        self.lookup.process.stdin.write(f'{query}\n'.encode())
        self.lookup.process.stdin.flush()
        answer = json.loads(self.lookup.need('^', start).string)
        return answer['user'] or answer.get('answer')

    def until(self, query, wanted):
        deadline = time.monotonic() + harness.PATIENCE_S
        while (found := self.ask(query)) != wanted:
            self.assertLess(time.monotonic(), deadline,
                            f'{query} is {found}, not {wanted}')
            time.sleep(0.02)

    def take(self, user, start):
        line = len(self.agent.out.lines)
        self.agent.say(f'USER {user} {start}+100')
        self.agent.need(rf'^given {start}\+100 {user}$', line)

    def free(self, start):
        line = len(self.agent.out.lines)
        self.agent.say(f'FREE {start}+100')
        self.agent.need(rf'^free {start}\+100$', line)

    def check(self, users):
        """Every port of the range, and some around it, by both addresses."""
        for port in [*range(19990, 21010), 0, 65535]:
            wanted = users.get(port - port % 100, 'unknown-port')
            self.assertEqual(self.ask(f'10.0.0.7:{port}'), wanted, port)
        for port in range(20000, 21000, 50):
            self.assertEqual(self.ask(f'[2001:db8::7]:{port}'),
                             users.get(port - port % 100, 'unknown-port'))

    def test_T07_users_of_ports_and_nobody_else(self):
        plain = self.stage.start_agent('agent.py', self.receiver.port)
        plain.say('map 10.0.0.7 whole', 'map 2001:db8::7 whole',
                  'map 10.0.0.8 other')
        plain.wait_acked(1)
        self.until('10.0.0.8', 'other')
        self.until('10.0.0.7', 'no-port')
        self.assertEqual(self.ask('2001:db8::7'), 'no-port')
        self.check({})
        self.take('x', 20000)
        self.take('y', 20900)
        self.check({20000: 'x', 20900: 'y'})
        plain.say('map 10.0.0.7 again', 'logout 10.0.0.7')
        self.free(20000)
        self.check({20900: 'y'})
        self.assertEqual(self.ask('10.0.0.7'), 'no-port')
        self.assertEqual(self.ask('10.0.0.8:20000'), 'other')

    def test_T07_the_right_is_taken_away_and_given_back(self):
        plain = self.stage.start_agent('agent.py', self.receiver.port)
        plain.say('map 10.0.0.7 whole')
        self.take('x', 20000)
        self.assertEqual(self.ask('10.0.0.7'), 'no-port')
        self.stage.agents.write_text(SINGLE_USER + PLAIN)
        self.assertTrue(self.receiver.reload())
        for query in '10.0.0.7', '10.0.0.7:20000', '10.0.0.7:5':
            self.until(query, 'whole')
        self.assertIsNone(self.ask('[2001:db8::7]:20000'))
        self.stage.agents.write_text(MULTI_USER + PLAIN)
        self.assertTrue(self.receiver.reload())
        # By RESYNC, or at the next refresh if that came too early.
        self.until('10.0.0.7:20000', 'x')
        self.assertEqual(self.ask('10.0.0.7'), 'no-port')
        self.check({20000: 'x'})

    def change(self, rand, users, number):
        start = rand.choice(STARTS)
        if start in users:
            self.free(start)
            del users[start]
            self.assertEqual(self.ask(f'10.0.0.7:{start}'), 'unknown-port')
        else:
            users[start] = f'u{number}'
            self.take(users[start], start)
            self.assertEqual(self.ask(f'10.0.0.7:{start + 99}'), users[start])

    def test_the_connection_is_cut(self):
        rand, users = random.Random(4), {}
        for number in range(40):
            # Each doubles the receiver's patience: a few at random places.
            if number % 10 == 3:
                time.sleep(rand.random() / 100)
                self.wire.cut()
            self.change(rand, users, number)
        self.check(users)
        self.assertGreater(self.wire.count, 4)

    def test_the_receiver_is_killed(self):
        rand, users = random.Random(6), {}
        for number in range(30):
            if number % 6 == 5:
                self.receiver.signal(signal.SIGKILL)
                self.receiver.wait()
                # Nothing is lost meanwhile, and nothing said stays unsaid.
                self.assertEqual(self.ask('10.0.0.7'), 'no-port')
                start = next((it for it in users), None)
                if start:
                    self.agent.say(f'FREE {start}+100')
                self.receiver = self.start_receiver()
                if start:
                    self.agent.need(rf'^free {start}\+100$')
                    del users[start]
            self.change(rand, users, number)
        self.check(users)

    def test_the_agent_is_killed(self):
        users = {}
        for run in range(3):
            before = dict(users)
            users = {start: f'u{run}-{start}' for start in
                     random.Random(run).sample(STARTS, 5)}
            if run:
                port = self.agent.port
                self.agent.kill()
                self.check(before)
                self.agent = self.start_agent(port=port)
            line = len(self.agent.out.lines)
            self.agent.say(*(f'USER {user} {start}+100'
                             for start, user in users.items()))
            for start, user in users.items():
                self.agent.need(rf'^given {start}\+100 {user}$', line)
            self.until(f'10.0.0.7:{[*users][-1]}', users[[*users][-1]])
            deadline = time.monotonic() + harness.PATIENCE_S
            gone = [start for start in before if start not in users]
            while any(self.ask(f'10.0.0.7:{start}') != 'unknown-port'
                      for start in gone):
                self.assertLess(time.monotonic(), deadline)
            self.check(users)

    def test_many_users_who_come_and_go(self):
        port = self.agent.port
        self.agent.kill()
        self.agent = agent = self.start_agent(
            '--simulate', '6', '--every', '0.01', '--lifetime', '1', port=port)
        agent.need('^given')
        time.sleep(3)                 # three lives, kept by REFRESH ALL
        counters, agents = self.receiver.status()
        self.assertGreater(counters['refresh_alls'], 2)
        self.assertEqual(counters['resyncs'], 0)
        self.assertEqual(agents[TS]['multi_user'], 'yes')
        self.assertFalse([line for line in agent.out.lines
                          if 'rejected' in line or 'bad' in line])


if __name__ == '__main__':
    unittest.main()
