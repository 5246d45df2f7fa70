"""uidagent beyond single records: snapshots, refreshing all, what it does when
a receiver asks for a snapshot, and several receivers at once."""
# Mostly waits.
import json
import signal
import struct
import subprocess
import time
import unittest

import harness
from harness import Peer, Receiver, program
from uidrecv1 import Frame, Record

SNAPSHOT_END = 10


class Site:
    """One receiver of several, with a store of its own."""
    def __init__(self, stage, name, server=None):
        self.stage, self.server = stage, server or stage.server
        self.store = stage.dir / name
        self.receiver, self.port = None, 0
        self.start()

    def start(self):
        stage = self.stage
        kept = stage.store, stage.server
        stage.store, stage.server = self.store, self.server
        arguments = stage.receiver_arguments((f'127.0.0.1:{self.port}',))
        stage.store, stage.server = kept
        self.receiver = stage.keep(Receiver(arguments)).wait_ready()
        self.port = self.receiver.port
        self.address = f'127.0.0.1:{self.port}'

    def users(self):
        kept = self.stage.table
        self.stage.table = str(self.store / 'table')
        try:
            return self.stage.everybody()
        finally:
            self.stage.table = kept

    def counters(self):
        return self.receiver.status()[0]


class AgentTest(harness.StageTest):
    AGENTS = 'agent.example 10.0.0.0/8 2001:db8::/32 lifetime_max_s=100000\n'

    def setUp(self):
        super().setUp()
        self.stage.agents.write_text(self.AGENTS)

    def until(self, what, condition):
        deadline = time.monotonic() + harness.PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, f'in vain for {what}')
            time.sleep(0.02)

    def start(self, *sites, more=()):
        cert, key = self.stage.client
        arguments = [program('uidagent'), '-v', '--cert', cert, '--key', key,
                     '--ca', self.stage.authority.cert, '--name',
                     harness.RECEIVER]
        for site in sites:
            arguments += ['--connect', site.address]
        return self.stage.keep(harness.Agent([*arguments, *more]))


class Lines(AgentTest):
    """Snapshots and refreshes as lines, with one receiver."""
    def setUp(self):
        super().setUp()
        self.receiver = self.stage.start_receiver()

    def agent(self, *more):
        return self.stage.start_agent('uidagent', self.receiver.port,
                                      more=more)

    def counters(self):
        return self.receiver.status()[0]

    def ends(self, lines, status, message=''):
        agent = self.agent()
        agent.say(*lines)
        self.assertEqual(agent.end(), status, agent.err.lines)
        errors = [line for line in agent.err.lines if 'standard input' in line]
        if message:
            self.assertEqual(len(errors), 1, errors)
            self.assertIn(message, errors[0])
        else:
            self.assertEqual(errors, [])
        return agent

    def test_snapshot_drops_what_it_does_not_say(self):
        self.ends(['map 10.0.0.1 a', 'map 10.0.0.2 b', 'map 10.0.0.3 c',
                   ' snapshot ', 'map 10.0.0.2 b', 'refresh 10.0.0.1',
                   'map 10.0.0.4 d', 'withdraw 10.0.0.4', 'end\r',
                   'map 10.0.0.5 e', 'refresh-all'], 0)
        self.assertEqual(self.stage.everybody(), {
            '10.0.0.1': 'a', '10.0.0.2': 'b', '10.0.0.5': 'e'})
        counters = self.counters()
        self.assertEqual(counters['snapshots'], 1)
        self.assertEqual(counters['snapshots_refused'], 0)
        # It knows what is left, too.
        self.assertEqual(counters['refresh_alls'], 1)

    def test_acks_have_a_serial_for_each(self):
        agent = self.agent()
        for n, line in enumerate(('map 10.0.0.1 a', 'snapshot',
                                  'map 10.0.0.1 a', 'end', 'refresh-all'), 1):
            agent.say(line)
            agent.wait_acked(n)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(agent.out.lines, [f'acked {n}' for n in range(1, 6)])
        self.assertEqual(self.counters()['refresh_alls'], 1)

    def test_an_end_of_input_ends_no_snapshot(self):
        self.ends(['snapshot', 'map 10.0.0.1 a', 'map 10.0.0.2 b', 'end',
                   'snapshot', 'map 10.0.0.1 a'], 2, 'line 5')
        self.assertEqual(len(self.stage.everybody()), 2)
        self.assertEqual(self.counters()['snapshots'], 1)

    def test_lines_that_are_wrong(self):
        good = ['snapshot', 'map 10.0.0.1 a', 'end']
        for number, (lines, word) in enumerate((
                (['end'], 'no snapshot'), (['snapshot x'], 'x: nothing'),
                (['snapshot', 'end x'], 'x: nothing'),
                (['refresh-all 3'], '3: nothing'),
                (['snapshot', 'snapshot'], 'open'),
                (['snapshot', 'refresh-all'], 'open'),
                (['snapshot', 'map 10.0.0.2'], 'user'),
                (['Snapshot'], 'refresh-all'))):
            with self.subTest(lines):
                agent = self.ends([*good, *lines, 'end', 'map 10.0.0.3 c'], 2,
                                  word)
                self.assertIn(f'line {len(good) + len(lines)}:',
                              '\n'.join(agent.err.lines))
                self.assertEqual(self.stage.everybody(), {'10.0.0.1': 'a'})
                self.assertEqual(self.counters()['snapshots'], number + 1)

    def test_refresh_all_counts_what_lives(self):
        agent = self.agent()
        agent.say('snapshot', *(f'map 10.0.0.{n} u{n} token={n}'
                                for n in range(1, 10)), 'end',
                  'map 10.0.1.1 more', 'map 10.0.1.2 more lifetime_s=1000',
                  'map 192.0.2.1 refused', 'withdraw 10.0.0.1',
                  'logout 10.0.0.2 u2', 'logout 10.0.0.3 token=3',
                  'logout 10.0.0.4', 'logout 10.0.0.5 other',
                  'logout 10.0.0.5 token=6', 'logout 10.0.0.5 age_ms=60000',
                  'map 10.0.0.6 other', 'map 10.0.0.7 late age_ms=60000',
                  'refresh 10.0.0.8 u8 lifetime_s=500')
        agent.need('^rejected 14 ADDRESS-NOT-ALLOWED')
        agent.say('refresh-all')
        self.assertEqual(agent.end(), 1)
        self.assertEqual(self.stage.everybody(), {
            '10.0.0.5': 'u5', '10.0.0.6': 'other', '10.0.0.7': 'u7',
            '10.0.0.8': 'u8', '10.0.0.9': 'u9', '10.0.1.1': 'more',
            '10.0.1.2': 'more'})
        counters = self.counters()
        self.assertEqual((counters['refresh_alls'], counters['resyncs']),
                         (1, 0), agent.out.lines)

    def test_refresh_all_does_not_count_the_dead(self):
        agent = self.agent()
        agent.say('snapshot', 'map 10.0.0.1 a', 'end',
                  'map 10.0.0.2 b lifetime_s=1')
        agent.need('^acked 4')
        self.until('the end of a life',
                   lambda: len(self.stage.everybody()) == 1)
        # Its life began with the UPDATE, up to 0.1 seconds before the line.
        time.sleep(0.2)
        agent.say('refresh-all')
        self.assertEqual(agent.end(), 0)
        self.assertEqual(self.stage.everybody(), {'10.0.0.1': 'a'})
        counters = self.counters()
        self.assertEqual((counters['refresh_alls'], counters['resyncs']),
                         (1, 0))

    def test_refresh_all_renews(self):
        agent = self.agent()
        agent.say('snapshot', 'map 10.0.0.1 a lifetime_s=9000',
                  'map 10.0.0.2 b lifetime_s=60', 'end')
        agent.wait_acked(3)
        for n in range(1, 4):
            time.sleep(2)
            self.assertLess(self.expiry_s('10.0.0.1'), 8999)
            agent.say('refresh-all')
            agent.wait_acked(3 + n)
            self.assertGreater(self.expiry_s('10.0.0.1'), 8980)
        self.assertEqual(len(self.stage.everybody()), 2)
        self.assertEqual(self.counters()['refresh_alls'], 3)
        self.assertEqual(agent.end(), 0)

    def expiry_s(self, address):
        done = subprocess.run(
            [program('uidlookup'), '--table', self.stage.table, '--json',
             address], capture_output=True, check=True)
        return json.loads(done.stdout)['expires_in_s']

    def test_a_resync_is_answered(self):
        """Without a snapshot in this run there is nothing to refresh."""
        agent = self.agent()
        agent.say('map 10.0.0.1 a lifetime_s=1000 token=9 source=vpn',
                  'map 10.0.0.2 b', 'map 192.0.2.1 refused')
        agent.need('^rejected 3 ')
        agent.say('refresh-all')
        agent.need('^resync NO-SNAPSHOT [a-z ]+$')
        self.until('the answer', lambda: self.counters()['snapshots'] == 1)
        change = self.counters()['change']
        agent.say('refresh-all')
        self.until('the refresh', lambda: self.counters()['refresh_alls'] == 1)
        self.assertEqual(agent.end(), 1)
        # Who was refused is not said again, and what was said is the same.
        self.assertEqual(agent.rejected(), [('3', 'ADDRESS-NOT-ALLOWED')])
        self.assertEqual(self.counters()['resyncs'], 1)
        self.assertEqual(self.counters()['records'], 4)
        self.assertEqual(self.counters()['rejected'], 1)
        self.assertEqual(self.stage.everybody(),
                         {'10.0.0.1': 'a', '10.0.0.2': 'b'})
        self.assertGreater(self.expiry_s('10.0.0.1'), 980)
        self.assertGreaterEqual(self.counters()['change'], change)

    def test_what_is_said_again_is_what_holds(self):
        """Told as a new epoch, where an older event would replace a newer."""
        lines = ['map 10.0.0.1 a token=1', 'map 10.0.0.1 late age_ms=60000',
                 'map 10.0.0.2 b', 'refresh 10.0.0.2 other',
                 'map 10.0.0.3 c age_ms=5000', 'logout 10.0.0.3 age_ms=6000',
                 'map 10.0.0.4 d age_ms=5000', 'logout 10.0.0.4 age_ms=4000',
                 'logout 10.0.0.1 token=2']
        agent = self.agent()
        agent.say(*lines)
        agent.need('^rejected 4 NOT-FOUND')
        before = self.stage.everybody()
        self.assertEqual(before, {'10.0.0.1': 'a', '10.0.0.2': 'b',
                                  '10.0.0.3': 'c'})
        agent.say('refresh-all')
        self.until('the answer', lambda: self.counters()['snapshots'] == 1)
        self.assertEqual(self.stage.everybody(), before)
        # It is the same login, so its own logout still ends it.
        agent.say('logout 10.0.0.1 token=1', 'refresh-all')
        self.until('the refresh', lambda: self.counters()['refresh_alls'] == 1)
        self.assertEqual(agent.end(), 1)
        del before['10.0.0.1']
        self.assertEqual(self.stage.everybody(), before)

    def test_a_resync_is_answered_at_the_end(self):
        """The input may be over when the receiver asks."""
        self.ends(['map 10.0.0.1 a', 'refresh-all'], 0)
        self.assertEqual(self.counters()['snapshots'], 1)

    def want(self):
        """Makes the receiver want a snapshot of the agent."""
        with Peer(self.stage, self.receiver.port) as peer:
            peer.open(session=77)
            peer.send(peer.update(Record('MAP', '10.0.0.9', 'former')))
            peer.send(Frame(SNAPSHOT_END, 2,
                            struct.pack('>HHQ', 0x8014, 8, 0)).encode())
            while peer.next()[:2] != ('ACK', 2):
                pass

    def test_a_life_is_no_longer_for_being_said_again(self):
        agent = self.agent()
        agent.say('map 10.0.0.1 a lifetime_s=100', 'map 10.0.0.2 b',
                  'refresh 10.0.0.2', 'map 10.0.0.3 c lifetime_s=12')
        agent.wait_acked(1)
        time.sleep(13)
        self.receiver.kill()
        # A store that is new knows less than it had acknowledged.
        harness.shutil.rmtree(self.stage.store)
        port = self.receiver.port
        self.receiver = self.stage.start_receiver(listen=(f'127.0.0.1:{port}',))
        agent.need('^resync GAP')
        self.until('the answer', lambda: self.counters()['snapshots'] == 1)
        self.assertEqual(self.stage.everybody(),
                         {'10.0.0.1': 'a', '10.0.0.2': 'b'})
        self.assertLessEqual(self.expiry_s('10.0.0.1'), 88)
        # It has its whole life again, though the receiver knows a shorter.
        agent.say('refresh 10.0.0.1')
        self.until('refresh', lambda: self.expiry_s('10.0.0.1') > 95)
        agent.say('refresh-all')
        self.until('refresh', lambda: self.counters()['snapshots'] == 2)
        agent.say('refresh-all')
        self.until('refresh', lambda: self.counters()['refresh_alls'] == 1)
        self.assertEqual(agent.end(), 0)

    def test_who_has_said_nothing_takes_nothing_away(self):
        self.want()
        agent = self.agent()
        agent.need('^resync NO-SNAPSHOT')
        self.assertEqual(agent.end(), 0)
        self.assertEqual(self.counters()['snapshots'], 0)
        self.assertEqual(self.stage.everybody(), {'10.0.0.9': 'former'})

    def test_a_snapshot_that_comes_is_the_answer(self):
        self.want()
        agent = self.agent()
        agent.need('^resync NO-SNAPSHOT')
        agent.say('snapshot', 'map 10.0.0.1 a', 'end')
        self.assertEqual(agent.end(), 0)
        counters = self.counters()
        self.assertEqual((counters['snapshots'], counters['resyncs']), (1, 1))
        self.assertEqual(self.stage.everybody(), {'10.0.0.1': 'a'})

    def test_receiver_that_goes_away_in_a_snapshot(self):
        agent = self.agent()
        agent.say('map 10.0.0.1 a', 'map 10.0.0.2 b', 'snapshot',
                  'map 10.0.0.1 a')
        agent.need('^acked 3')
        port = self.receiver.port
        for n in range(3):
            self.receiver.kill()
            agent.say(f'map 10.0.1.{n} u{n}')
            self.receiver = self.stage.start_receiver(
                listen=(f'127.0.0.1:{port}',))
            agent.wait_acked(4 + n)
        self.assertEqual(len(self.stage.everybody()), 5)
        self.receiver.kill()
        agent.say('map 10.0.0.3 c', 'end', 'refresh-all')
        self.receiver = self.stage.start_receiver(
            listen=(f'127.0.0.1:{port}',))
        self.assertEqual(agent.end(), 0)
        self.assertEqual(self.stage.everybody(), {
            '10.0.0.1': 'a', '10.0.1.0': 'u0', '10.0.1.1': 'u1',
            '10.0.1.2': 'u2', '10.0.0.3': 'c'})
        counters = self.counters()
        self.assertEqual((counters['snapshots'], counters['refresh_alls'],
                          counters['resyncs']), (1, 1, 0))

    def test_one_receiver_gets_all_though_the_queue_is_small(self):
        """It is waited for: a logout must not be lost."""
        port = self.receiver.port
        self.receiver.stop()
        agent = self.agent('--queue', '1')
        lines = [line for n in range(2000) for line in (
            f'map 10.0.{n // 250}.{n % 250} u{n}',
            f'logout 10.0.{n // 250}.{n % 250} u{n}')]
        writer = harness.threading.Thread(target=agent.say, args=lines)
        writer.start()
        self.receiver = self.stage.start_receiver(
            listen=(f'127.0.0.1:{port}',))
        writer.join()
        self.assertEqual(agent.end(), 0)
        self.assertEqual(self.stage.everybody(), {})
        self.assertEqual(self.counters()['records'], 4000)
        self.assertEqual(self.counters()['snapshots'], 0)


class Several(AgentTest):
    """One agent and two receivers."""
    def setUp(self):
        super().setUp()
        self.first = Site(self.stage, 'first')
        self.second = Site(self.stage, 'second')

    def acked(self, agent, site, serial):
        agent.need(f'^{site.address} acked {serial}$')

    def flood(self, agent, count, start=0):
        agent.say(*(f'map 10.1.{n // 250}.{n % 250} u{n}'
                    for n in range(start, start + count)))

    def test_each_gets_all(self):
        agent = self.start(self.first, self.second)
        agent.say('snapshot', 'map 10.0.0.1 a', 'map 192.0.2.1 b', 'end',
                  'refresh-all')
        self.assertEqual(agent.end(), 1)
        for site in self.first, self.second:
            self.assertEqual(site.users(), {'10.0.0.1': 'a'})
            lines = [line for line in agent.out.lines
                     if line.startswith(site.address + ' ')]
            self.assertIn(f'{site.address} rejected 3 ADDRESS-NOT-ALLOWED',
                          ' '.join(lines))
        self.assertEqual({line.split()[0] for line in agent.out.lines},
                         {self.first.address, self.second.address})

    def test_load(self):
        """Nothing is kept to be said again: the slowest is waited for."""
        self.second.receiver.signal(signal.SIGSTOP)
        agent = self.start(self.first, self.second,
                           more=('--load', '5000', '--queue', '8'))
        self.until('the first', lambda: self.first.users())
        self.second.receiver.signal(signal.SIGCONT)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(sorted(line.split()[:3] for line in agent.out.lines),
                         sorted([site.address, 'loaded', '5000']
                                for site in (self.first, self.second)))
        self.assertEqual(self.first.users(), self.second.users())
        self.assertEqual(len(self.first.users()), 5000)

    def overflow(self, agent):
        """The second one misses what it should drop, keep and learn."""
        agent.say('map 10.0.0.1 a lifetime_s=1000', 'map 10.0.0.2 b',
                  'map 10.0.0.3 c')
        self.acked(agent, self.second, 1)
        yield
        self.flood(agent, 3000)
        agent.say('withdraw 10.0.0.2', 'map 10.0.0.3 d', 'map 10.0.0.4 e')
        self.until('the first', lambda: '10.0.0.4' in self.first.users())
        self.assertNotIn('10.0.0.2', self.first.users())
        yield

    def check_mended(self, agent):
        self.until('the second',
                   lambda: self.second.users() == self.first.users())
        self.assertEqual(len(self.first.users()), 3003)
        self.assertEqual(self.second.counters()['snapshots'], 1)
        self.assertEqual(self.first.counters()['snapshots'], 0)

    def test_one_that_stands_still_holds_up_nobody(self):
        agent = self.start(self.first, self.second, more=('--queue', '8'))
        steps = self.overflow(agent)
        next(steps)
        self.second.receiver.signal(signal.SIGSTOP)
        next(steps)
        self.second.receiver.signal(signal.SIGCONT)
        self.check_mended(agent)
        self.assertEqual(agent.end(), 0)

    def test_one_that_is_killed_and_comes_back(self):
        agent = self.start(self.first, self.second, more=('--queue', '8'))
        steps = self.overflow(agent)
        next(steps)
        self.second.receiver.kill()
        next(steps)
        self.second.start()
        self.check_mended(agent)
        # What had waited for it was thrown away: it is in the snapshot.
        self.assertLess(self.second.counters()['records'], 3103)
        # From then on it gets each line, and knows what it has.
        agent.say('map 10.0.0.5 f', 'refresh-all')
        self.until('refresh',
                   lambda: self.second.counters()['refresh_alls'] == 1)
        self.assertEqual(self.second.counters()['resyncs'], 0)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(self.second.users(), self.first.users())

    def test_lines_while_one_is_told_all(self):
        agent = self.start(self.first, self.second, more=('--queue', '8'))
        steps = self.overflow(agent)
        next(steps)
        self.second.receiver.kill()
        next(steps)
        self.second.start()
        agent.need(f'^{self.second.address} acked ',
                   start=len(agent.out.lines))
        agent.say(*(f'withdraw 10.1.{n // 250}.{n % 250}'
                    for n in range(1200)))
        for site in self.first, self.second:
            self.until('what is left', lambda: len(site.users()) == 1803)
        agent.say('refresh-all')
        self.until('the refresh',
                   lambda: self.second.counters()['refresh_alls'] == 1)
        self.assertEqual(self.second.counters()['resyncs'], 0)
        self.assertEqual(agent.end(), 0)

    def test_a_snapshot_while_one_is_told_all(self):
        agent = self.start(self.first, self.second, more=('--queue', '8'))
        steps = self.overflow(agent)
        next(steps)
        self.second.receiver.kill()
        next(steps)
        start = len(agent.out.lines)
        self.second.start()
        agent.need(f'^{self.second.address} acked ', start=start)
        agent.say('snapshot')
        self.flood(agent, 40, 1000)
        self.until('the first', lambda: agent.out.wait(
            f'^{self.first.address} acked ', start=start))
        agent.say('end', 'refresh-all')
        self.assertEqual(agent.end(), 0)
        self.assertNotIn('takes no snapshots', ' '.join(agent.err.lines))
        for site in self.first, self.second:
            counters = site.counters()
            self.assertEqual((counters['snapshots_refused'],
                              counters['resyncs']), (0, 0))

    def test_one_that_was_never_there_is_waited_for(self):
        self.second.receiver.kill()
        agent = self.start(self.first, self.second, more=('--queue', '8'))
        self.flood(agent, 2000)
        agent.process.stdin.close()
        self.until('the first', lambda: len(self.first.users()) == 2000)
        self.assertTrue(agent.is_running())
        self.second.start()
        self.assertEqual(agent.wait(), 0, agent.err.lines)
        self.assertEqual(self.second.users(), self.first.users())

    def test_one_that_misses_a_part_of_a_snapshot(self):
        agent = self.start(self.first, self.second, more=('--queue', '8'))
        self.flood(agent, 100)
        agent.say('map 10.0.0.1 a')
        self.until('both', lambda: '10.0.0.1' in self.first.users() and
                   self.second.users() == self.first.users())
        agent.say('snapshot')
        self.second.receiver.kill()
        self.flood(agent, 2000, 50)
        self.until('the first', lambda: len(self.first.users()) == 2051)
        self.second.start()
        # It is told of all that was said before, too, till that is over.
        self.until('the second', lambda: len(self.second.users()) == 2051)
        agent.say('map 10.0.0.2 b', 'end', 'refresh-all')
        self.assertEqual(agent.end(), 0)
        self.assertEqual(len(self.first.users()), 2001)
        self.assertNotIn('10.0.0.1', self.first.users())
        self.assertEqual(self.second.users(), self.first.users())
        self.assertEqual(self.first.counters()['refresh_alls'], 1)
        self.assertEqual(self.second.counters()['refresh_alls'], 1)

    def test_what_one_refuses_the_other_keeps(self):
        self.second.receiver.kill()
        self.stage.agents.write_text('agent.example 10.0.0.0/16\n')
        self.second.start()
        agent = self.start(self.first, self.second)
        agent.say('snapshot', 'map 10.0.0.1 a', 'map 10.1.0.1 b', 'end')
        agent.need(f'^{self.second.address} rejected 3 ')
        agent.say('refresh-all')
        self.assertEqual(agent.end(), 1)
        for site, count in (self.first, 2), (self.second, 1):
            self.assertEqual(len(site.users()), count)
            counters = site.counters()
            self.assertEqual((counters['refresh_alls'], counters['resyncs']),
                             (1, 0))

    def test_what_one_refuses_is_not_said_to_it_again(self):
        self.second.receiver.kill()
        self.stage.agents.write_text('agent.example 10.0.0.0/16\n')
        self.second.start()
        agent = self.start(self.first, self.second)
        agent.say('map 10.0.0.1 a', 'map 10.1.0.1 b')
        agent.need(f'^{self.second.address} rejected 2 ')
        agent.say('refresh-all')
        for site in self.first, self.second:
            self.until('the answer', lambda: site.counters()['snapshots'] == 1)
        self.assertEqual(agent.end(), 1)
        self.assertEqual(len(self.first.users()), 2)
        self.assertEqual(len([line for line in agent.out.lines
                              if ' rejected ' in line]), 1)

    def test_one_that_refuses_for_good(self):
        self.second.receiver.kill()
        self.stage.agents.write_text('other.example 10.0.0.0/8\n')
        self.second.start()
        agent = self.start(self.first, self.second)
        agent.say('map 10.0.0.1 a')
        self.acked(agent, self.first, 1)
        self.until('the refusal',
                   lambda: 'NOT-AUTHORIZED' in ' '.join(agent.err.lines))
        agent.say('snapshot', 'map 10.0.0.2 b', 'end')
        self.assertEqual(agent.end(), 3)
        self.assertEqual(self.first.users(), {'10.0.0.2': 'b'})

    def test_names(self):
        self.second.receiver.kill()
        self.second.server = self.stage.authority.issue('other.example')
        self.second.start()
        for names, status in (((None, 'other.example'), 0),
                              (('localhost', 'other.example'), 0),
                              (('other.example', None), 3),
                              ((None, None), 3)):
            with self.subTest(names):
                agent = self.start(more=[
                    word for site, name in zip((self.first, self.second),
                                               names)
                    for word in ('--connect', site.address,
                                 *(['--name', name] if name else []))])
                agent.say('map 10.0.0.1 a')
                self.assertEqual(agent.end(), status, agent.err.lines)


if __name__ == '__main__':
    unittest.main()
