"""agent.py and uidrecvd: snapshots, RESYNC and REFRESH ALL end to end, each side
written by itself from doc/protocol.md.
"""
# Mostly waits.
import os
import random
import shutil
import signal
import time
import unittest

import harness

LONG = bool(os.environ.get('UIDRECV_TEST_LONG'))


class EndToEnd(harness.StageTest):
    def start(self, port, *more):
        arguments = self.stage.agent_arguments('agent.py', port)
        arguments.remove('--no-snapshot')
        return self.stage.keep(harness.Agent(
            [*arguments, '--lines', '--settle', '0.2', *more, '-']))

    def say(self, receiver, *lines, more=()):
        """A run of an agent that says no more than this."""
        agent = self.start(receiver.port, *more)
        agent.say(*lines)
        self.assertEqual(agent.end(), 0, agent.err.lines)
        return agent

    def until(self, is_so):
        deadline = time.monotonic() + harness.PATIENCE_S
        while not is_so():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def again(self, receiver, more=('-v',)):
        """A receiver at the same port."""
        return self.stage.start_receiver(
            listen=(f'127.0.0.1:{receiver.port}',), more=more)

    def test_a_snapshot_drops_what_is_gone(self):
        receiver = self.stage.start_receiver()
        self.say(receiver, *(f'map 10.0.0.{n} a' for n in range(1, 10)))
        self.assertEqual(len(self.stage.everybody()), 9)
        self.say(receiver, *(f'map 10.0.0.{n} b' for n in range(3, 10)))
        self.assertEqual(self.stage.everybody(),
                         {f'10.0.0.{n}': 'b' for n in range(3, 10)})
        counters, _ = receiver.status()
        self.assertEqual((counters['snapshots'], counters['resyncs']), (2, 0))

    def test_without_a_snapshot_all_stays(self):
        receiver = self.stage.start_receiver()
        self.say(receiver, 'map 10.0.0.1 a', 'map 10.0.0.2 a')
        self.say(receiver, 'map 10.0.0.1 b', more=('--no-snapshot',))
        self.assertEqual(self.stage.everybody(),
                         {'10.0.0.1': 'b', '10.0.0.2': 'a'})

    def test_an_empty_snapshot_is_held(self):
        receiver = self.stage.start_receiver()
        self.say(receiver, *(f'map 10.0.0.{n} a' for n in range(1, 10)))
        self.say(receiver, 'map 10.0.0.1 b')
        self.assertEqual(len(self.stage.everybody()), 9)
        self.assertEqual(receiver.status()[0]['snapshots_held'], 1)

    def test_what_the_receiver_lost_is_said_again(self):
        receiver = self.stage.start_receiver()
        agent = self.start(receiver.port)
        agent.say(*(f'map 10.0.0.{n} a' for n in range(1, 30)),
                  'withdraw 10.0.0.2')
        agent.need('acked 3')
        before = self.stage.everybody()
        self.assertEqual(len(before), 28)
        receiver.kill()
        shutil.rmtree(self.stage.store)
        receiver = self.again(receiver)
        agent.need('^resync GAP')
        self.until(lambda: self.stage.everybody() == before)
        self.assertEqual(agent.end(), 0)
        self.assertEqual(receiver.status()[0]['resyncs'], 1)

    def test_refresh_all_keeps_alive(self):
        receiver = self.stage.start_receiver()
        agent = self.start(receiver.port, '--lifetime', '6',
                           '--refresh-every', '0.5')
        agent.say('map 10.0.0.1 a', 'map 10.0.0.2 b age_ms=9', 'logout 10.0.0.2',
                  'map 10.0.0.3 c', 'logout 10.0.0.3 c')
        self.until(lambda: receiver.status()[0]['refresh_alls'] > 0)
        before = receiver.status()[0]['refresh_alls']
        time.sleep(6.5)
        self.assertEqual(self.stage.everybody(), {'10.0.0.1': 'a'})
        self.assertEqual(agent.end(), 0)
        counters, _ = receiver.status()
        self.assertGreater(counters['refresh_alls'], before)
        self.assertEqual(counters['resyncs'], 0)
        self.until(lambda: not self.stage.everybody())

    def test_both_count_alike(self):
        """Random commands, refreshed all the time: no RESYNC is needed."""
        rand = random.Random(21)
        receiver = self.stage.start_receiver()
        agent = self.start(receiver.port, '--refresh-every', '0.05',
                           '--lifetime', '3600', '--batch', '7',
                           '--settle', '0')
        for _ in range(600 if LONG else 150):
            agent.say(*(self.random_line(rand) for _ in range(10)))
            time.sleep(0.02)
        agent.say('map 10.1.0.1 last')
        self.until(lambda: '10.1.0.1' in self.stage.everybody())
        now = receiver.status()[0]['refresh_alls']
        self.assertGreater(now, 10)
        self.until(lambda: receiver.status()[0]['refresh_alls'] > now + 1)
        self.assertIn(agent.end(), (0, 1))
        self.assertEqual([line for line in agent.out.lines
                          if line.startswith('resync')], [])
        self.assertLess({code for _, code in agent.rejected()},
                        {'NOT-FOUND', 'USER-INVALID'})

    @staticmethod
    def random_line(rand):
        address = f'10.0.{rand.randrange(2)}.{rand.randrange(1, 30)}'
        user = rand.choice(('a', 'b', 'c'))
        age = rand.choice(('', f' age_ms={rand.randrange(100)}',
                           f' age_ms={rand.randrange(100_000)}'))
        token = rand.choice(('', f' token={rand.randrange(3)}'))
        return rand.choice((
            f'map {address} {user}{age}{token}',
            f'map {address} {user}{age} lifetime_s=1800',
            f'map {address} {user}{age}{token}',
            f'logout {address} {user}{age}{token}',
            f'logout {address}{age}{token}',
            f'refresh {address} {user}', f'refresh {address}',
            f'withdraw {address}'))

    def test_the_receiver_is_killed_within_snapshots(self):
        rand = random.Random(5)
        receiver = self.stage.start_receiver()
        for run in range(12 if LONG else 4):
            agent = self.start(receiver.port, '--batch', '20')
            agent.say(*(f'map 10.0.{n // 250}.{n % 250 + 1} u{run}'
                        for n in range(run, 2000 + run)))
            for serial in sorted(rand.sample(range(1, 100), 3)):
                agent.wait_acked(serial)
                receiver.signal(signal.SIGKILL)
                receiver.wait()
                receiver = self.again(receiver)
            self.assertEqual(agent.end(), 0)
            self.assertEqual(self.stage.everybody(), {
                f'10.0.{n // 250}.{n % 250 + 1}': f'u{run}'
                for n in range(run, 2000 + run)})
            self.assertFalse([line for line in agent.out.lines
                              if 'resync' in line])

    def test_two_receivers(self):
        one = self.stage.start_receiver()
        store, self.stage.store = self.stage.store, self.stage.dir / 'other'
        other = self.stage.start_receiver()
        agent = self.start(one.port, '--connect', f'127.0.0.1:{other.port}')
        agent.say('map 10.0.0.1 a', 'map 10.0.0.2 b')
        self.until(lambda: other.status()[0]['snapshots'] == 1)
        other.stop()
        agent.say('withdraw 10.0.0.1')
        self.until(lambda: one.status()[0]['claims'] == 1)
        other = self.again(other)
        self.assertEqual(agent.end(), 0)
        for directory in store, self.stage.store:
            self.stage.table = str(directory / 'table')
            self.assertEqual(self.stage.everybody(), {'10.0.0.2': 'b'})


if __name__ == '__main__':
    unittest.main()
