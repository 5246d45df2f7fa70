"""kill -9 of the receiver, again and again, while an agent goes on sending.

After each restart every mapping that was acknowledged must be there, the agent
must come back by itself, and in the end the table must be what was sent.
$UIDRECV_TEST_KILLS says how often; 50 if it is not set, or 500 in a long run.
"""
import os
import random
import signal
import sys
import threading
import time
import unittest

import harness

KILLS = int(os.environ.get('UIDRECV_TEST_KILLS') or
            (500 if os.environ.get('UIDRECV_TEST_LONG') else 50))
ADDRESSES = 5000


class Sender:
    """Says numbered lines to an agent until it is stopped. With --batch 1 the
    serial of a line is its number."""
    def __init__(self, agent, start_gate=200):
        self.agent, self.gate = agent, start_gate
        self.said = []            # (address, user) of line 1, 2, ...
        self.is_stopped = threading.Event()
        self.random = random.Random(1)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.is_stopped.is_set():
            # Not too far ahead, so that the end is near when it is stopped.
            if len(self.said) > self.agent.acked() + 2000:
                time.sleep(0.001)
                continue
            number = len(self.said) + 1
            place = self.random.randrange(ADDRESSES)
            address = (f'10.0.{place >> 8}.{place & 255}' if place % 5 else
                       f'2001:db8::{place + 1:x}')
            user = f'CORP\\user{number}'
            self.said.append((address, user))
            self.agent.say(f'map {address} {user}')

    def stop(self):
        self.is_stopped.set()
        self.thread.join(harness.PATIENCE_S)

    def check(self, test, acked, users):
        """All up to line `acked` must be there, or what was said later."""
        said = self.said[:]
        last, later = {}, {}
        for number, (address, user) in enumerate(said, 1):
            if number <= acked:
                last[address] = user
                later[address] = {user}
            else:
                later.setdefault(address, set()).add(user)
        lost = [address for address in last if address not in users]
        wrong = [address for address, user in users.items()
                 if user not in later[address]]
        test.assertEqual((lost[:5], wrong[:5]), ([], []),
                         f'of {acked} acknowledged')


class Crash(harness.StageTest):
    def test_kill_9_loses_nothing_that_was_acknowledged(self):
        receiver = self.stage.start_receiver()
        port = receiver.port
        agent = self.stage.start_agent('uidagent', port,
                                       more=('--batch', '1'))
        sender = Sender(agent)
        self.addCleanup(sender.stop)
        luck = random.Random(2)
        acked = 0
        for _ in range(KILLS):
            agent.wait_acked(acked + 1)
            time.sleep(luck.uniform(0, 0.2))
            receiver.signal(signal.SIGKILL)
            receiver.wait()
            acked = agent.acked()
            receiver = self.stage.start_receiver(
                listen=(f'127.0.0.1:{port}',))
            sender.check(self, acked, self.stage.everybody())
        sender.stop()
        self.assertEqual(agent.end(), 0, agent.err.lines[-5:])
        self.assertEqual(agent.acked(), len(sender.said))
        self.assertTrue(self.stage.everybody() == dict(sender.said))
        counters, agents = receiver.status()
        self.assertEqual(int(agents[harness.AGENT]['serial']), agent.acked())
        self.assertEqual(counters['claims'], len(dict(sender.said)))
        print(f'{KILLS} kills, {len(sender.said)} mappings acknowledged',
              file=sys.stderr)

    def test_O03_lookups_go_on_without_a_receiver(self):
        receiver = self.stage.start_receiver()
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.0.0.1 alice', 'map 10.0.0.2 bob lifetime_s=3')
        agent.wait_acked(1)
        acked = time.monotonic()
        lookup = self.stage.start_lookup()
        self.assertEqual(lookup.user('10.0.0.2'), 'bob')
        receiver.signal(signal.SIGKILL)
        receiver.wait()
        self.assertEqual(lookup.user('10.0.0.1'), 'alice')
        time.sleep(max(0, acked + 3.1 - time.monotonic()))
        # Life ends on time, also when nobody is there to sweep.
        self.assertIsNone(lookup.user('10.0.0.2'))
        self.assertEqual(lookup.user('10.0.0.1'), 'alice')
        self.stage.start_receiver(listen=(f'127.0.0.1:{receiver.port}',))
        self.assertEqual(lookup.user('10.0.0.1'), 'alice')
        agent.say('map 10.0.0.3 carol')
        self.assertEqual(agent.end(), 0)
        self.assertEqual(lookup.user('10.0.0.3'), 'carol')
        self.assertIsNone(lookup.process.poll())


if __name__ == '__main__':
    unittest.main()
