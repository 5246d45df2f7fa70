"""Clocks of their own for the programs under test: wall clocks that step, and
boots of the machine. Nothing here sets the machine's clock, nor changes its
other clocks for anybody else.
"""
import concurrent.futures
import os
import pathlib
import signal
import struct
import subprocess
import sys
import threading
import time
import unittest
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / 'integration'))

import harness  # noqa: E402

HOUR, DAY, YEAR = 3600, 86400, 365.25 * 86400
BOOT_ID = '/proc/sys/kernel/random/boot_id'
ERROR_S = 1
# A library for LD_PRELOAD need not come before AddressSanitizer's.
ASAN = 'ASAN_OPTIONS=verify_asan_link_order=0:' + os.environ.get(
    'ASAN_OPTIONS', '')


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Wall:
    """A wall clock that is ahead by some seconds, which may change."""
    def __init__(self, path, ahead_s=0):
        self.path = path
        self.path.write_bytes(bytes(8))
        self.set(ahead_s)

    def set(self, ahead_s):
        self.ahead_s = ahead_s
        # One write of a word that others have mapped: they see all or nothing.
        with open(self.path, 'r+b', buffering=0) as file:
            file.write(struct.pack('=q', int(ahead_s * 1_000_000)))

    def prefix(self):
        library = harness.build_root() / 'tests' / 'libtest-wall.so'
        return ['env', ASAN, f'TEST_WALL={self.path}', f'LD_PRELOAD={library}']


def with_boot_id(path, boot_id=None):
    """The prefix of what shall see another boot id, in its namespace."""
    path.write_text((boot_id or str(uuid.uuid4())) + '\n')
    return ['unshare', '--mount', 'sh', '-c',
            f'mount --bind "$0" {BOOT_ID} && exec "$@"', str(path)]


class Boot:
    """A boot of the machine for what runs with the prefix: a boot id, and a
    boot clock that is ahead of the machine's by whole seconds."""
    def __init__(self, stage, ahead_s, boot_id=None):
        path = stage.dir / f'boot-{len(stage.processes)}'
        self.holder = stage.keep(harness.Process(
            ['unshare', '--time', f'--boottime={ahead_s}',
             *with_boot_id(path, boot_id), 'sh', '-c',
             'echo up && exec sleep infinity']))
        if not self.holder.out.wait('^up$'):
            raise unittest.SkipTest('no namespaces of mounts and time: '
                                    f'{self.holder.err.lines}')

    def prefix(self):
        names = f'/proc/{self.holder.pid}/ns'
        return ['nsenter', f'--mount={names}/mnt',
                f'--time={names}/time_for_children']


class Lookup(harness.Lookup):
    """uidlookup with clocks of its own."""
    def __init__(self, table, prefix):
        harness.Process.__init__(
            self, [*prefix, harness.program('uidlookup'), '--table', table,
                   '--json', '-'], stdin=subprocess.PIPE)


class Source:
    """An agent that says mappings one by one. It is of an identity of its own,
    and of a kind."""
    def __init__(self, scene, kind, net, ahead_s=0):
        self.scene, self.kind, self.net, self.said = scene, kind, net, 0
        self.wall = Wall(scene.stage.dir / f'wall-{kind}', ahead_s)
        self.client = scene.stage.authority.issue(f'{kind}.example')
        self.agent = None

    def start(self):
        """Begins a session, after the former one has ended."""
        self.end()
        arguments = self.scene.stage.agent_arguments(
            self.kind, self.scene.receiver.port, self.client,
            () if self.kind == 'uidagent' else ('--lines', '-'))
        self.serial = 0
        self.agent = self.scene.stage.keep(
            harness.Agent([*self.wall.prefix(), *arguments]))
        return self

    def end(self):
        if self.agent and self.agent.end() != 0:
            raise AssertionError(self.agent.err.lines)
        self.agent = None

    def say(self, line):
        """Says it, and waits until it is acknowledged and seen."""
        self.serial += 1
        self.agent.say(line)
        self.agent.wait_acked(self.serial)

    def map(self, user, lifetime_s, address=None):
        """Returns the life, which is watched if the address is new."""
        self.said += 1
        life = Life(self.scene, address or f'10.{self.net}.0.{self.said}', user,
                    now() + lifetime_s)
        self.say(f'map {life.address} {user} lifetime_s={lifetime_s}')
        if not address:
            self.scene.watch.lives.append(life)
        return life


class Life:
    """A mapping, and when by the boot clock it has to end."""
    def __init__(self, scene, address, user, ends):
        self.scene, self.address, self.user = scene, address, user
        self.ends, self.ended = ends, None

    def look(self, lookup):
        """Notes it when the mapping is gone; raises if it is another's."""
        user = lookup.user(self.address)
        if user is None:
            self.ended = self.ended or now()
        elif user != self.user or self.ended:
            raise AssertionError(f'{self.address} is {user}, not {self.user}')

    def assert_lives(self):
        self.look(self.scene.lookup)
        if self.ended:
            raise AssertionError(f'{self.user} at {self.address} is gone')

    def wrong(self):
        """What is wrong with its end, if anything."""
        late_s = (self.ended or now()) - self.ends
        if abs(late_s) <= ERROR_S:
            return []
        return [f'{self.user} at {self.address} '
                f'{"ended" if self.ended else "lives on"} at {late_s:+.2f} s']


class Watch(threading.Thread):
    """Looks at lives all the time, by a reader of its own."""
    def __init__(self, lookup):
        super().__init__(daemon=True)
        self.lookup, self.lives, self.problem = lookup, [], None
        self.is_stopped = threading.Event()

    def run(self):
        try:
            while not self.is_stopped.wait(0.02):
                for life in self.lives:
                    if not life.ended:
                        life.look(self.lookup)
        except AssertionError as problem:
            self.problem = problem

    def stop(self):
        self.is_stopped.set()
        self.join()


class Scene:
    """A receiver with a wall clock, agents with others, and readers."""
    def __init__(self, test, ahead_s=0, boot=None, **validity):
        self.stage, self.test = harness.Stage(**validity), test
        test.addCleanup(self.stage.close)
        self.stage.agents.write_text(''.join(
            f'{kind}.example 10.0.0.0/8 lifetime_max_s=100000000\n'
            for kind in harness.AGENT_KINDS))
        self.wall = Wall(self.stage.dir / 'wall', ahead_s)
        self.sources = [Source(self, kind, net)
                        for net, kind in enumerate(harness.AGENT_KINDS)]
        self.prefix, self.port = [], 0
        self.begin(boot(self.stage) if boot else None)

    def begin(self, boot=None):
        """Starts the receiver, and readers with the same clocks."""
        self.prefix = (boot.prefix() if boot else []) + self.wall.prefix()
        self.start()
        self.lookup = self.start_lookup()
        self.watch = Watch(self.start_lookup())
        self.watch.start()
        self.test.addCleanup(self.watch.stop)

    def start(self):
        """Also after end(), at the same port."""
        arguments = self.stage.receiver_arguments(
            listen=(f'127.0.0.1:{self.port}',))
        self.receiver = self.stage.keep(
            harness.Receiver([*self.prefix, *arguments])).wait_ready()
        self.port = self.receiver.port

    def end(self, number=signal.SIGTERM):
        self.receiver.signal(number)
        return self.receiver.wait()

    def start_lookup(self):
        return self.stage.keep(Lookup(self.stage.table, self.prefix))

    def counters(self):
        return self.receiver.status()[0]


class ClockTest(unittest.TestCase):
    def check_ends(self, *scenes):
        """Waits for the end of all lives but long ones; no end may come
        early or late."""
        lives = [life for scene in scenes for life in scene.watch.lives]
        ending = [life for life in lives if life.ends < now() + 60]
        last = max(life.ends for life in ending) + ERROR_S
        while now() < last and not all(life.ended for life in ending):
            time.sleep(0.02)
        self.assertEqual([], [text for life in ending for text in life.wrong()])
        for life in set(lives) - set(ending):
            life.assert_lives()
        for scene in scenes:
            self.assertIsNone(scene.watch.problem)
            scene.watch.lives = [life for life in scene.watch.lives
                                 if not life.ended]


class Record(unittest.TestResult):
    """What a test reported, to be said again to another result."""
    def __init__(self):
        super().__init__()
        self.reports = []

    def addSuccess(self, test):
        self.reports.append(('addSuccess', test))

    def addFailure(self, test, err):
        self.reports.append(('addFailure', test, err))

    def addError(self, test, err):
        self.reports.append(('addError', test, err))

    def addSkip(self, test, reason):
        self.reports.append(('addSkip', test, reason))


class Together(unittest.TestSuite):
    """Runs some tests at a time, since they mostly wait."""
    WORKERS = 3

    def run(self, result, debug=False):
        def work(test):
            record = Record()
            test.run(record)
            return test, record.reports

        with concurrent.futures.ThreadPoolExecutor(self.WORKERS) as pool:
            for test, reports in pool.map(work, self):
                result.startTest(test)
                for name, *arguments in reports:
                    getattr(result, name)(*arguments)
                result.stopTest(test)
        return result


def load_tests(_loader, tests, _pattern):
    return Together(test for suite in tests for test in suite)
