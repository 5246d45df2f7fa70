"""Reboots of the receiver's machine, and machines that sleep: boot ids, boot
clocks and time namespaces are those of the programs under test alone. Agents
are on other machines, which stay up."""
# Mostly waits.
import signal
import subprocess
import time
import unittest

import clocks
from clocks import DAY, YEAR, load_tests, now  # noqa: F401
import harness

VALID = dict(start=-15 * 365, end=15 * 365)
UP_S = 1_000_000  # of the first boot, more than the machine's
REFUSED = 'the table is from another boot or time namespace'


def just_up(stage):
    return clocks.Boot(stage, 3 - int(now()))


class Boots(clocks.ClockTest):
    def begin(self, boot_id=None):
        scene = clocks.Scene(
            self, boot=lambda stage: clocks.Boot(stage, UP_S, boot_id), **VALID)
        for source in scene.sources:
            source.start().map('kept', 3600)
        return scene

    def assert_refused(self, scene, prefix):
        """No reader there opens the table."""
        done = subprocess.run(
            [*prefix, harness.program('uidlookup'), '--table',
             scene.stage.table, '10.0.0.1'], capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 2)
        self.assertIn(REFUSED, done.stderr.decode())

    def crash(self, scene, boot):
        """The machine loses power, and comes up without a receiver."""
        scene.receiver.kill()
        scene.watch.stop()
        self.assertIsNone(scene.watch.problem)
        self.assert_refused(scene, boot.prefix())

    def start(self, scene, boot):
        former, lives = scene.prefix, scene.watch.lives
        scene.begin(boot)
        self.assert_refused(scene, former)
        scene.watch.lives = lives

    def reboot(self, scene, boot, ahead_s, spent_s=None):
        """Another boot under another wall clock. What lives is left `spent_s`
        less than it would have without, or nothing was spent meanwhile."""
        begun = now()
        self.crash(scene, boot)
        scene.wall.set(ahead_s)
        self.start(scene, boot)
        if spent_s is None:
            spent_s = begun - now()
        for life in scene.watch.lives:
            if not life.ended:
                life.ends -= spent_s

    def check(self, scene):
        """Lives end in time, and clocks of agents were measured anew."""
        for source in scene.sources:
            source.map('new', 2)
        self.check_ends(scene)
        self.assertEqual(scene.counters()['rejected'], 0)

    def test_C03_lives_go_on_by_the_wall_clock(self):
        scene = self.begin()
        over = [source.map('over', 20) for source in scene.sources]
        scene.watch.lives = [life for life in scene.watch.lives
                             if life not in over]
        for source in scene.sources:
            source.map('ending', 34)
        # A boot id alone is enough to tell boots apart.
        other_id = clocks.with_boot_id(scene.stage.dir / 'other-id')
        self.assert_refused(scene, [*scene.prefix, *other_id])
        self.reboot(scene, just_up(scene.stage), 30, spent_s=30)
        for life in over:
            self.assertIsNone(scene.lookup.user(life.address))
        self.check(scene)

    def test_C03_lives_that_REFRESH_ALL_renewed(self):
        """Its time is carried over too, and that of the next one is new."""
        scene = clocks.Scene(
            self, boot=lambda stage: clocks.Boot(stage, UP_S), **VALID)
        source = scene.sources[0].start()

        def renew(lifetime_s):
            source.say('snapshot')
            life = source.map('renewed', lifetime_s)
            source.say('end')
            time.sleep(2)
            life.ends = now() + lifetime_s
            source.say('refresh-all')
            self.assertEqual(scene.counters()['refresh_alls'], 1)

        renew(34)
        self.reboot(scene, just_up(scene.stage), 30, spent_s=30)
        self.check_ends(scene)
        renew(3)
        self.check_ends(scene)

    def test_C03_a_wall_clock_that_is_not_credible(self):
        """It was set back, or is years ahead: lives go on where they were."""
        scene = self.begin()
        for ahead_s in (-DAY, 10 * YEAR):
            for source in scene.sources:
                source.map('ending', 2)
            self.reboot(scene, just_up(scene.stage), ahead_s)
        self.check(scene)

    def test_C06_a_wall_clock_that_is_unset_at_boot(self):
        """A receiver that is not valid yet does not start, and leaves it to
        the next one to tell how long the machine was off."""
        scene = self.begin()
        for source in scene.sources:
            source.map('ending', 34)
        boot, lives = just_up(scene.stage), scene.watch.lives
        self.crash(scene, boot)
        scene.wall.set(-time.time())
        done = subprocess.run(
            [*boot.prefix(), *scene.wall.prefix(),
             *scene.stage.receiver_arguments()], capture_output=True,
            timeout=30)
        self.assertEqual(done.returncode, 2)
        self.assertIn('check the clock of this system', done.stderr.decode())
        self.assert_refused(scene, boot.prefix())
        # Somebody sets it.
        scene.wall.set(30)
        for life in lives:
            life.ends -= 30
        self.start(scene, boot)
        self.check(scene)

    def test_C06_nobody_is_let_in_while_the_wall_clock_is_unset(self):
        """What is there is answered meanwhile."""
        scene = self.begin()
        scene.stage.server = scene.stage.authority.issue(
            harness.RECEIVER, start=-60 * 365)
        self.reboot(scene, just_up(scene.stage), -time.time())
        for source in scene.sources:
            self.assertEqual(source.agent.wait(), 3, source.agent.err.lines)
            self.assertIn('certificate', source.agent.err.lines[-1])
            source.agent = None
        self.assertEqual(scene.counters()['sessions'], 0)
        scene.wall.set(0)
        for source in scene.sources:
            source.start().map('again', 3600)
        for life in scene.watch.lives:
            life.assert_lives()

    def test_C02_a_machine_that_slept_while_no_receiver_ran(self):
        """In one boot lives go on by its clock, which counts the sleep."""
        boot_id = '01234567-89ab-4cde-8f01-23456789abcd'
        scene = self.begin(boot_id)
        for source in scene.sources:
            source.map('ending', 1803)
            source.end()
        boot = clocks.Boot(scene.stage, UP_S + 1800, boot_id)
        self.reboot(scene, boot, 1800, spent_s=1800)
        # The agents slept too, so to say.
        for source in scene.sources:
            source.start()
        self.check(scene)

    def test_C02_everybody_sleeps(self):
        """What ended meanwhile is not answered afterwards, and nobody takes the
        pause for the other's silence."""
        scene = self.begin()
        for source in scene.sources:
            source.map('ending', 1)
        everybody = [scene.receiver, scene.lookup, scene.watch.lookup,
                     *(source.agent for source in scene.sources)]
        for process in everybody:
            process.signal(signal.SIGSTOP)
        time.sleep(1.5)
        for process in everybody[::-1]:
            process.signal(signal.SIGCONT)
        for life in scene.watch.lives:
            user = scene.lookup.user(life.address)
            self.assertEqual(user, 'kept' if life.user == 'kept' else None)
        for source in scene.sources:
            source.map('new', 3600)
        self.check_ends(scene)
        counters = scene.counters()
        self.assertEqual((counters['sessions'], counters['accepted']), (2, 2))


if __name__ == '__main__':
    unittest.main()
