"""Wall clocks that step, or are wrong from the start, under a receiver, its
agents and its readers. Lives are measured by the boot clock, which is true."""
# Mostly waits.
import calendar
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import clocks
from clocks import DAY, HOUR, YEAR, load_tests, now  # noqa: F401
import harness

# Certificates for all the times that are tried, but 1970.
VALID = dict(start=-35 * 365, end=85 * 365)


class Steps(clocks.ClockTest):
    def test_the_wall_clock_alone_is_shifted(self):
        """What the other tests stand on."""
        file = tempfile.NamedTemporaryFile()
        self.addCleanup(file.close)
        wall = clocks.Wall(pathlib.Path(file.name), -YEAR)
        code = ('import time; print(time.time(), *map(time.clock_gettime, '
                '(time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC)))')
        done = subprocess.run([*wall.prefix(), sys.executable, '-c', code],
                              capture_output=True, check=True, timeout=30)
        wrong, boot, monotonic = map(float, done.stdout.split())
        self.assertAlmostEqual(wrong, time.time() - YEAR, delta=5)
        self.assertAlmostEqual(boot, now(), delta=5)
        self.assertAlmostEqual(monotonic, time.monotonic(), delta=5)

    def test_C01_steps_of_all_wall_clocks_at_run_time(self):
        """Agents step against the receiver, and nobody notices."""
        scenes = [clocks.Scene(self, **VALID) for _ in range(2)]
        for scene in scenes:
            for source in scene.sources:
                source.start().map('kept', 3600)
        for size_s in (HOUR, DAY, 10 * YEAR):
            for scene, sign in zip(scenes, (1, -1)):
                for source in scene.sources:
                    source.map('before', 2)
                scene.wall.set(sign * size_s)
                for source in scene.sources:
                    source.wall.set(-sign * size_s)
                    source.map('after', 2)
            self.check_ends(*scenes)
        for scene in scenes:
            counters = scene.counters()
            self.assertEqual((counters['sessions'], counters['accepted']),
                             (2, 2))
            self.assertEqual(counters['rejected'], 0)

    def test_C01_receiver_restarts_under_a_wrong_wall_clock(self):
        """In one boot the store's time goes on by the boot clock alone."""
        scene = clocks.Scene(self, **VALID)
        for source in scene.sources:
            source.start()
            source.map('kept', 3600)
            source.map('ending', 4)
        for number, ahead_s in ((signal.SIGTERM, HOUR / 2),
                                (signal.SIGTERM, 10 * YEAR),
                                (signal.SIGKILL, -10 * YEAR)):
            scene.end(number)
            scene.wall.set(ahead_s)
            scene.start()
            # The same sessions go on, by the offsets that were measured.
            for source in scene.sources:
                source.map('new', 2)
        self.check_ends(scene)
        self.assertEqual(scene.counters()['rejected'], 0)

    def test_C01_agents_whose_wall_clocks_are_wrong(self):
        """Events are in order between agents that differ by 20 years, and
        within what an agent said before and after it was set right."""
        scene = clocks.Scene(self, **VALID)
        first, second = scene.sources
        address = '10.99.0.1'
        for ahead_s in (10 * YEAR, 0):
            first.wall.set(ahead_s)
            second.wall.set(-ahead_s)
            for source in (first, second, first):
                if not source.agent:
                    source.start()
                source.map('ending', 2)
                # More than clocks are measured wrong by.
                time.sleep(0.3)
                said = now()
                last = source.map(f'{source.kind}-{ahead_s}', 3600, address)
                last.assert_lives()
            # It happened before what the other one said last.
            age_ms = int((now() - said) * 1000) + 150
            second.say(f'map {address} late lifetime_s=9 age_ms={age_ms}')
            last.assert_lives()
            for source in scene.sources:
                source.end()
        self.check_ends(scene)
        self.assertEqual(scene.counters()['rejected'], 0)

    def test_C01_N31_certificates_are_judged_by_the_wall_clock(self):
        """Who was let in is ended when his certificate expires, and keeps his
        mappings. A clock that went back ends nobody, but lets nobody in."""
        scene = clocks.Scene(self)
        source, other = scene.sources
        source.start().map('kept', 3600)
        scene.wall.set(-YEAR)
        source.map('ending', 2)
        other.start()
        self.assertEqual(other.agent.wait(), 3)
        self.assertEqual(scene.counters()['sessions'], 1)
        scene.wall.set(YEAR)
        self.assertEqual(source.agent.wait(), 3, source.agent.err.lines)
        for line in ('the certificate expired or was revoked meanwhile',
                     "the alert 'certificate expired'"):
            self.assertIn(line, '\n'.join(source.agent.err.lines))
        source.agent = other.agent = None
        scene.wall.set(0)
        for source in scene.sources:
            source.start().map('again', 2)
        self.check_ends(scene)

    def test_C05_the_ends_of_32_bits_pass(self):
        """2038 with a sign and 2106 without, under all of them."""
        scenes = []
        for moment in ((2038, 1, 19, 3, 14, 8), (2106, 2, 7, 6, 28, 16)):
            ahead_s = calendar.timegm(moment) - time.time()
            scene = clocks.Scene(self, ahead_s - 60, **VALID)
            scenes.append(scene)
            for source in scene.sources:
                source.wall.set(ahead_s - 60)
                source.start().map('before', 3)
            # What has started passes it, and what starts after it as well.
            scene.wall.set(ahead_s)
            for source in scene.sources:
                source.wall.set(ahead_s)
                source.map('after', 2)
        for scene in scenes:
            scene.end()
            scene.start()
            for source in scene.sources:
                source.end()
                source.start().map('restarted', 2)
        self.check_ends(*scenes)


if __name__ == '__main__':
    unittest.main()
