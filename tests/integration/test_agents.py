"""What both agents promise, with the same expectations for each: the lines
they take, what they print, how they end, and how they come back."""
# Mostly waits.
import os
import signal
import time
import unittest

import harness
from harness import AGENT_KINDS


class Conformance(harness.StageTest):
    AGENTS = 'agent.example 10.0.0.0/8 2001:db8::/32 lifetime_max_s=100000\n'

    def setUp(self):
        super().setUp()
        self.stage.agents.write_text(self.AGENTS)
        self.receiver = self.stage.start_receiver()

    def each(self, check, *arguments, **options):
        """Runs a check for each kind of agent, with nothing in the table."""
        for kind in AGENT_KINDS:
            with self.subTest(kind):
                agent = self.stage.start_agent(kind, self.receiver.port,
                                               *arguments, **options)
                check(agent)
                agent.kill()
                self.clear()

    def clear(self):
        agent = self.stage.start_agent('uidagent', self.receiver.port)
        agent.say(*(f'withdraw {address}'
                    for address in self.stage.everybody()))
        self.assertEqual(agent.end(), 0)
        self.assertEqual(self.stage.everybody(), {})

    def test_maps(self):
        def check(agent):
            agent.say(r'map 10.0.0.1 CORP\alice', '', '# a comment',
                      r'map 2001:db8::7 CORP\bob lifetime_s=100',
                      '  map\t10.0.0.2  carol%20of%20the%25%C3%A4 token=0x10 ',
                      '\r', r'map ::ffff:10.0.0.3 CORP\dave age_ms=5000')
            self.assertEqual(agent.end(), 0, agent.err.lines)
            self.assertEqual(self.stage.everybody(), {
                '10.0.0.1': r'CORP\alice', '2001:db8::7': r'CORP\bob',
                '10.0.0.2': 'carol of the%ä', '10.0.0.3': r'CORP\dave'})
        self.each(check)

    def test_nothing_to_say(self):
        self.each(lambda agent: self.assertEqual(agent.end(), 0))

    def test_last_line_without_newline(self):
        def check(agent):
            agent.process.stdin.write(b'map 10.0.0.1 alice')
            self.assertEqual(agent.end(), 0)
            self.assertEqual(self.stage.everybody(), {'10.0.0.1': 'alice'})
        self.each(check)

    def test_acks_come_at_once_and_in_order(self):
        def check(agent):
            for n in range(1, 6):
                agent.say(f'map 10.0.0.{n} user{n}')
                agent.wait_acked(n)
                self.assertEqual(len(self.stage.everybody()), n)
            self.assertEqual(agent.end(), 0)
            self.assertEqual(agent.out.lines,
                             [f'acked {n}' for n in range(1, 6)])
        self.each(check)

    def test_batches(self):
        def check(agent):
            agent.say(*(f'map 10.0.0.{n} user{n}' for n in range(1, 101)))
            self.assertEqual(agent.end(), 0)
            self.assertEqual(agent.out.lines[-1], 'acked 10')
        self.each(check, more=('--batch', '10'))

    def test_logout_withdraw_refresh(self):
        def check(agent):
            agent.say('map 10.0.0.1 alice token=7', 'map 10.0.0.2 bob',
                      'map 10.0.0.3 carol', 'map 10.0.0.4 dave age_ms=10000',
                      'map 10.0.0.5 erin token=8', 'map 10.0.0.6 frank')
            agent.say('logout 10.0.0.1 token=7', 'logout 10.0.0.2 bob',
                      'withdraw 10.0.0.3',
                      'logout 10.0.0.4',                   # older than now
                      'logout 10.0.0.5 token=9',           # another session
                      'logout 10.0.0.6 frank age_ms=5000', # before the logon
                      'refresh 10.0.0.5', 'refresh 10.0.0.6 frank')
            self.assertEqual(agent.end(), 0, agent.out.lines)
            self.assertEqual(self.stage.everybody(),
                             {'10.0.0.5': 'erin', '10.0.0.6': 'frank'})
        self.each(check)

    def test_P17_late_logon_after_its_logout_stays_ended(self):
        def check(agent):
            agent.say('logout 10.0.1.1 alice', 'map 10.0.1.1 alice age_ms=60000')
            self.assertEqual(agent.end(), 0)
            self.assertEqual(self.stage.everybody(), {})
        self.each(check)

    def test_refused_records(self):
        def check(agent):
            agent.say('map 10.0.0.1 good',
                      'map 0.0.0.1 a', 'map 127.0.0.1 b', 'map 11.0.0.1 c',
                      '# a line that is none',
                      'map 10.6.6.6 d%0Ae', 'map 10.6.6.6 %FF',
                      'map 10.6.6.6 f lifetime_s=100001',
                      'map 10.6.6.6 g lifetime_s=4294967295',
                      'map 10.6.6.6 h age_ms=-60000',
                      'refresh 10.6.6.6', 'map 10.0.0.2 good')
            self.assertEqual(agent.end(), 1, agent.err.lines)
            self.assertEqual(agent.rejected(), [
                ('2', 'ADDRESS-INVALID'), ('3', 'ADDRESS-NOT-ALLOWED'),
                ('4', 'ADDRESS-NOT-ALLOWED'), ('6', 'USER-INVALID'),
                ('7', 'USER-INVALID'), ('8', 'LIFETIME-NOT-ALLOWED'),
                ('9', 'LIFETIME-NOT-ALLOWED'), ('10', 'TIME-IN-FUTURE'),
                ('11', 'NOT-FOUND')])
            for line in agent.out.lines:
                self.assertRegex(line, r'^(acked \d+|rejected \d+ [A-Z-]+ .+)$')
            self.assertRegex(agent.out.lines[-1], '^acked ')
            self.assertEqual(self.stage.everybody(),
                             {'10.0.0.1': 'good', '10.0.0.2': 'good'})
        self.each(check)

    def test_bad_lines(self):
        for line in ('nonsense', 'map', 'map 10.0.0.9', 'map 10.0.0 x',
                     'map 10.0.0.9/32 x', 'map fe80::1%eth0 x',
                     'map 10.0.0.9 x y', 'map 10.0.0.9 x token=-1',
                     'map 10.0.0.9 x token=18446744073709551616',
                     'map 10.0.0.9 x lifetime_s=4294967296',
                     'map 10.0.0.9 x age_ms=soon', 'map 10.0.0.9 x color=red',
                     'withdraw 10.0.0.9 x', 'withdraw 10.0.0.9 token=1',
                     'logout 10.0.0.9 lifetime_s=1', 'MAP 10.0.0.9 x'):
            def check(agent):
                agent.say('map 10.0.0.1 before', line, 'map 10.0.0.2 after')
                self.assertEqual(agent.end(), 2, (line, agent.err.lines))
                self.assertIn('line 2', '\n'.join(agent.err.lines))
                self.assertEqual(self.stage.everybody(),
                                 {'10.0.0.1': 'before'}, line)
            self.each(check)

    def test_one_certificate_on_two_hosts(self):
        def check(agent):
            agent.say('map 10.0.0.1 first')
            agent.wait_acked(1)
            second = self.stage.start_agent('uidagent', self.receiver.port)
            second.say('map 10.0.0.2 second')
            second.wait_acked(1)
            self.assertEqual(agent.wait(), 3, agent.err.lines)
            self.assertEqual(second.end(), 0)
            self.assertEqual(len(self.stage.everybody()), 2)
        self.each(check)

    def test_receiver_comes_later(self):
        port = self.receiver.port
        self.receiver.stop()

        def check(agent):
            agent.say('map 10.0.0.1 alice')
            time.sleep(0.7)
            self.assertIsNone(agent.process.poll())
            self.receiver = self.stage.start_receiver(
                listen=(f'127.0.0.1:{port}',))
            self.assertEqual(agent.end(), 0)
            self.assertEqual(self.stage.everybody(), {'10.0.0.1': 'alice'})

        for kind in AGENT_KINDS:
            check(self.stage.start_agent(kind, port))
            self.clear()
            self.receiver.stop()

    def test_resumes_after_kill(self):
        port = self.receiver.port

        def check(agent):
            agent.say(*(f'map 10.0.0.{n} before' for n in range(1, 11)))
            agent.say('map 127.0.0.1 refused')
            self.assertIsNotNone(agent.out.wait('^rejected 11 '))
            agent.wait_acked(1)
            self.receiver.signal(signal.SIGKILL)
            self.receiver.wait()
            agent.say(*(f'map 10.0.1.{n} between' for n in range(1, 11)))
            self.receiver = self.stage.start_receiver(
                listen=(f'127.0.0.1:{port}',))
            agent.say(*(f'map 10.0.2.{n} after' for n in range(1, 11)))
            self.assertEqual(agent.end(), 1, agent.err.lines)
            users = sorted(self.stage.everybody().values())
            self.assertEqual(users, ['after'] * 10 + ['before'] * 10 +
                             ['between'] * 10)
            self.assertEqual(agent.rejected(), [('11', 'ADDRESS-NOT-ALLOWED')])
        self.each(check)

    def test_N08_stopped_receiver_and_hold_time(self):
        """Nothing is lost when the receiver stands still for a while."""
        def check(agent):
            agent.say('map 10.0.0.1 alice')
            agent.wait_acked(1)
            self.receiver.signal(signal.SIGSTOP)
            agent.say('map 10.0.0.2 bob')
            time.sleep(1)
            self.assertEqual(agent.acked(), 1)
            self.receiver.signal(signal.SIGCONT)
            self.assertEqual(agent.end(), 0)
            self.assertEqual(len(self.stage.everybody()), 2)
        self.each(check)


class TwoAgents(harness.StageTest):
    """What one agent may do to what another said."""
    AGENTS = ('agent.example 10.0.0.0/8\nvpn.example 10.0.0.0/8 priority=5\n'
              'peer.example 10.0.0.0/8\n')

    def setUp(self):
        super().setUp()
        self.stage.agents.write_text(self.AGENTS)
        self.receiver = self.stage.start_receiver()
        self.low = self.start('agent.example')
        self.peer = self.start('peer.example')
        self.high = self.start('vpn.example')

    def start(self, name):
        return self.stage.start_agent(
            'uidagent', self.receiver.port,
            self.stage.authority.issue(name), ('--batch', '1'))

    def tell(self, agent, *lines):
        before = agent.acked()
        agent.say(*lines)
        agent.wait_acked(before + len(lines))

    def answer(self, expected):
        self.assertEqual(self.stage.everybody().get('10.0.0.1'), expected)

    def test_I17_priority_goes_before_time(self):
        self.tell(self.high, 'map 10.0.0.1 vpn')
        self.tell(self.low, 'map 10.0.0.1 directory')
        self.answer('vpn')
        self.tell(self.high, 'withdraw 10.0.0.1')
        self.answer('directory')
        self.tell(self.high, 'map 10.0.0.1 vpn age_ms=60000')
        self.answer('vpn')

    def test_the_later_logon_wins_among_equals(self):
        self.tell(self.low, 'map 10.0.0.1 later age_ms=10000')
        self.tell(self.peer, 'map 10.0.0.1 earlier age_ms=60000')
        self.answer('later')

    def test_I11_nobody_ends_what_another_said(self):
        self.tell(self.high, 'map 10.0.0.1 vpn')
        self.tell(self.low, 'withdraw 10.0.0.1', 'logout 10.0.0.1',
                  'logout 10.0.0.1 vpn')
        self.answer('vpn')
        self.assertEqual(self.receiver.status()[0]['claims'], 1)

    def test_a_logout_speaks_for_its_equals(self):
        self.tell(self.low, 'map 10.0.0.1 alice token=7')
        self.tell(self.peer, 'logout 10.0.0.1 token=8')
        self.answer('alice')
        self.tell(self.peer, 'logout 10.0.0.1 token=7')
        self.answer(None)
        self.tell(self.low, 'map 10.0.0.1 alice token=9')
        self.answer('alice')

    def test_runner_up_takes_over_when_a_life_ends(self):
        self.tell(self.low, 'map 10.0.0.1 directory')
        self.tell(self.high, 'map 10.0.0.1 vpn lifetime_s=2')
        self.answer('vpn')
        time.sleep(3.2)
        self.answer('directory')


class Load(harness.StageTest):
    def test_uidagent_load(self):
        receiver = self.stage.start_receiver()
        agent = self.stage.start_agent('uidagent', receiver.port,
                                       more=('--load', '20000'))
        self.assertEqual(agent.end(), 0, agent.err.lines)
        self.assertEqual(len(agent.out.lines), 1)
        self.assertRegex(agent.out.lines[0], r'^loaded 20000 mappings in '
                         r'\d+\.\d+ s: \d+ mappings/s$')
        users = self.stage.everybody()
        self.assertEqual(len(users), 20000)
        self.assertEqual(users['10.0.0.0'], r'CORP\user00000000001')
        self.assertEqual(users['10.0.78.31'], r'CORP\user00000020000')

    def test_11_a_full_store_refuses_and_goes_on(self):
        receiver = self.stage.start_receiver(
            more=('-v', '--store-max-bytes', str(16 << 20)))
        agent = self.stage.start_agent('uidagent', receiver.port,
                                       more=('--load', '100000'))
        self.assertEqual(agent.wait(), 1, agent.err.lines)
        codes = {code for _, code in agent.rejected()}
        self.assertEqual(codes, {'STORE-FULL'})
        addresses = sorted(self.stage.everybody())
        known = len(addresses)
        self.assertEqual(known + len(agent.rejected()), 100000)
        # What ends makes room again.
        agent = self.stage.start_agent('uidagent', receiver.port)
        count = known // 2
        agent.say(*(f'withdraw {address}' for address in addresses[:count]))
        self.assertEqual(agent.end(), 0)
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.77.0.1 alice')
        self.assertEqual(agent.end(), 0, receiver.status())
        users = self.stage.everybody()
        self.assertEqual(len(users), known - count + 1)
        self.assertEqual(users['10.77.0.1'], 'alice')

    def test_uidagent_stops_reading_when_the_queue_is_full(self):
        """Without a receiver it must not take in all that it is given."""
        agent = self.stage.start_agent('uidagent', 1)
        written = 0
        line = b'map 10.0.0.1 ' + b'x' * 240 + b'\n'
        os.set_blocking(agent.process.stdin.fileno(), False)
        deadline = time.monotonic() + harness.PATIENCE_S
        idle = 0
        while idle < 20 and time.monotonic() < deadline:
            try:
                written += os.write(agent.process.stdin.fileno(), line * 100)
                idle = 0
            except BlockingIOError:
                idle += 1
                time.sleep(0.05)
        self.assertEqual(idle, 20)
        self.assertLess(written, 256 << 20)
        with open(f'/proc/{agent.pid}/statm') as file:
            pages = int(file.read().split()[1])
        self.assertLess(pages * os.sysconf('SC_PAGE_SIZE'), 192 << 20)


if __name__ == '__main__':
    unittest.main()
