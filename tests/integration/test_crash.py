"""kill -9 of the receiver, again and again, while an agent goes on sending.

After each restart every mapping that was acknowledged must be there, the agent
must come back by itself, and in the end the table must be what was sent.
$UIDRECV_TEST_KILLS says how often; 50 if it is not set, or 500 in a long run.
"""
import os
import random
import signal
import subprocess
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
    serial of a line is its number. One line in 50 is to be refused."""
    def __init__(self, agent):
        self.agent = agent
        self.said = []            # (address, user) of line 1, 2, ...
        self.refused = []         # the numbers of lines to be refused
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
            address, user = self._place(), f'CORP\\user{number}'
            if number % 50 == 0:
                self.refused.append(number)
                address = '127.0.0.1'
            self.said.append((address, user))
            self.agent.say(f'map {address} {user}')

    def _place(self):
        place = self.random.randrange(ADDRESSES)
        return (f'10.0.{place >> 8}.{place & 255}' if place % 5 else
                f'2001:db8::{place + 1:x}')

    def table(self):
        """What the table must be when all is acknowledged."""
        table = dict(self.said)
        table.pop('127.0.0.1', None)
        return table

    def stop(self):
        self.is_stopped.set()
        self.thread.join(harness.PATIENCE_S)

    def check(self, test, acked, users):
        """All up to line `acked` must be there, or what was said later."""
        last, later = {}, {}
        for number, (address, user) in enumerate(self.said[:], 1):
            if address == '127.0.0.1':
                continue
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
    def kill_again_and_again(self, kind, kills):
        receiver = self.stage.start_receiver()
        port = receiver.port
        agent = self.stage.start_agent(kind, port, more=('--batch', '1'))
        sender = Sender(agent)
        self.addCleanup(sender.stop)
        luck = random.Random(2)
        acked = 0
        for _ in range(kills):
            agent.wait_acked(acked + 1)
            time.sleep(luck.uniform(0, 0.2))
            receiver.signal(signal.SIGKILL)
            receiver.wait()
            acked = agent.acked()
            receiver = self.stage.start_receiver(
                listen=(f'127.0.0.1:{port}',))
            sender.check(self, acked, self.stage.everybody())
        sender.stop()
        self.assertEqual(agent.end(), 1, agent.err.lines[-5:])
        self.assertEqual(agent.acked(), len(sender.said))
        self.check_refused(agent, sender)
        self.assertTrue(self.stage.everybody() == sender.table())
        counters, agents = receiver.status()
        self.assertEqual(int(agents[harness.AGENT]['serial']), agent.acked())
        self.assertEqual(counters['claims'], len(sender.table()))
        print(f'{kind}: {kills} kills, {len(sender.said)} lines',
              file=sys.stderr)

    def check_refused(self, agent, sender):
        """Each refusal is told once, and before its acknowledgement."""
        self.assertEqual(agent.rejected(), [
            (str(number), 'ADDRESS-NOT-ALLOWED') for number in sender.refused])
        acked = 0
        for line in agent.out.lines:
            word, number, *_ = line.split()
            if word == 'acked':
                acked = int(number)
            else:
                self.assertGreater(int(number), acked)

    def test_kill_9_loses_nothing_that_was_acknowledged(self):
        self.kill_again_and_again('uidagent', KILLS)

    def test_kill_9_with_an_agent_in_python(self):
        self.kill_again_and_again('agent.py', max(1, KILLS // 5))

    def test_O03_lookups_go_on_without_a_receiver(self):
        receiver = self.stage.start_receiver()
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.0.0.1 alice', 'map 10.0.0.2 bob lifetime_s=5')
        agent.wait_acked(1)
        acked = time.monotonic()
        lookup = self.stage.start_lookup()
        self.assertEqual(lookup.user('10.0.0.2'), 'bob')
        receiver.signal(signal.SIGKILL)
        receiver.wait()
        self.assertEqual(lookup.user('10.0.0.1'), 'alice')
        time.sleep(max(0, acked + 5.1 - time.monotonic()))
        # Life ends on time, also when nobody is there to sweep.
        self.assertIsNone(lookup.user('10.0.0.2'))
        self.assertEqual(lookup.user('10.0.0.1'), 'alice')
        self.stage.start_receiver(listen=(f'127.0.0.1:{receiver.port}',))
        self.assertEqual(lookup.user('10.0.0.1'), 'alice')
        agent.say('map 10.0.0.3 carol')
        self.assertEqual(agent.end(), 0)
        self.assertEqual(lookup.user('10.0.0.3'), 'carol')
        self.assertIsNone(lookup.process.poll())


@unittest.skipIf(os.geteuid() != 0, 'only root can mount a small disk')
class FullDisk(harness.StageTest):
    def mount(self, size):
        self.stage.store.mkdir(mode=0o711)
        arguments = ['mount', '-t', 'tmpfs', '-o', f'size={size},mode=0711',
                     'tmpfs', str(self.stage.store)]
        if subprocess.run(arguments, capture_output=True).returncode:
            self.skipTest('mounting is not allowed here')
        self.addCleanup(subprocess.run, ['umount', '-l',
                                         str(self.stage.store)], check=True)

    def test_no_acknowledgement_without_room_and_no_lost_answer(self):
        self.mount('8m')
        receiver = self.stage.start_receiver(
            more=('-v', '--table', str(self.stage.dir / 'table')))
        self.stage.table = str(self.stage.dir / 'table')
        agent = self.stage.start_agent('uidagent', receiver.port,
                                       more=('--batch', '100'))
        agent.say('map 10.0.0.1 first')
        agent.wait_acked(1)
        ballast = self.stage.store / 'ballast'
        with open(ballast, 'wb', 0) as file:
            try:
                while file.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                pass
        lines = [f'map 10.1.{n >> 8}.{n & 255} user{n}' for n in range(10000)]
        agent.say(*lines)
        self.assertIsNotNone(receiver.err.wait(' ERROR '), receiver.err.lines)
        stuck = agent.acked()
        time.sleep(1)
        self.assertEqual(agent.acked(), stuck)
        users = self.stage.everybody()
        self.assertEqual(users['10.0.0.1'], 'first')
        self.assertLess(len(users), len(lines))
        self.assertGreater(receiver.status()[0]['commit_errors'], 0)
        ballast.unlink()
        self.assertEqual(agent.end(), 0, agent.err.lines[-5:])
        self.assertEqual(len(self.stage.everybody()), len(lines) + 1)
        self.assertEqual(receiver.stop(), 0)


if __name__ == '__main__':
    unittest.main()
