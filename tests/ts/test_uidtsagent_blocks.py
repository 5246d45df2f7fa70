"""uidtsagent in network namespaces: who gets which block, and when."""

# Waits more than it runs what is built.
# Mostly waits.

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import world  # noqa: E402
from world import is_in  # noqa: E402

FIRST, SIZE = world.FIRST_PORT, world.SIZE
OTHER = 'fw2.example'


def setUpModule():
    world.need_root()


class LivesTest(world.AgentTest):
    def test_T05_who_leaves_loses_his_block_and_it_rests(self):
        alice, bob = self.begin('alice', 'bob', more=('--range', '20000-20399',
                                                      '--rest', '6'))
        mine = self.firewall.wait_user('alice')
        alice.end()
        self.firewall.wait_gone('alice')
        ended = time.monotonic()
        self.assertNotIn(f'{world.FIRST_UID} :', self.world.rules())
        carol = self.host.start_user('carol')
        self.assert_waits(carol, ended + 5)
        self.assertEqual(mine, self.firewall.wait_user('carol'))
        self.wait_used('carol')
        self.assertTrue(is_in(carol.open(), mine))
        self.assertTrue(is_in(bob.open(), self.firewall.wait_user('bob')))

    def assert_waits(self, user, until):
        while time.monotonic() < until:
            self.assert_outside(user.open())
            time.sleep(0.2)
            self.assertNotIn('carol', self.firewall.users())

    def test_a_block_with_flows_is_not_given_to_another(self):
        alice, = self.begin('alice', more=('--range', '20000-20199',
                                           '--rest', '0'))
        mine = self.firewall.wait_user('alice')
        self.assertTrue(is_in(alice.open(), mine))
        # The process is killed: the connection waits for its last words.
        server = self.world.server
        self.world.ip(server, 'link', 'set', 'dev', 'wan', 'down')
        alice.kill()
        self.firewall.wait_gone('alice')
        carol = self.host.start_user('carol')
        self.assert_waits(carol, time.monotonic() + 2)
        self.assertEqual(1, self.count('resting'))
        world.run(*self.world.prefix(self.world.host), 'conntrack', '-F')
        self.wait_used('carol')

    def assert_outside(self, port):
        if port is not None:
            super().assert_outside(port)

    def test_a_session_in_utmp(self):
        utmp = self.host.stage.dir / 'utmp'
        utmp.write_bytes(b'')
        self.agent = self.host.start_agent('--utmp', str(utmp),
                                           '--domain', 'CORP', uids=False)
        self.firewall = self.host.start_firewall()
        alice = self.host.start_user('alice')
        time.sleep(0.5)
        self.assertEqual({}, self.firewall.users())
        self.write_utmp(utmp, 7, 'alice', alice.pid)
        self.firewall.wait_user('CORP\\alice')
        # A session of a process that is gone is none.
        self.write_utmp(utmp, 7, 'bob', 0x7ffffff0)
        self.firewall.wait_gone('CORP\\alice')
        self.assertEqual({}, self.firewall.users())

    @staticmethod
    def write_utmp(path, kind, name, pid):
        entry = bytearray(384)
        entry[0:2] = kind.to_bytes(2, 'little')
        entry[4:8] = pid.to_bytes(4, 'little')
        entry[44:44 + len(name)] = name.encode()
        with open(path, 'r+b') as file:
            file.write(entry)


class SimulatedTest(world.AgentTest):
    def test_users_that_are_made_up_leave_the_host_alone(self):
        before = self.world.rules()
        self.agent = self.host.start_agent('--simulate', '30', '--address',
                                           world.HOST4, uids=False)
        self.firewall = self.host.start_firewall()
        world.eventually(lambda: len(self.firewall.users()) > 5)
        self.assertTrue(all(name.startswith('user000')
                            for name in self.firewall.users()))
        self.assertEqual(before, self.world.rules())
        self.assertEqual(0, self.agent.stop())
        self.assertEqual({}, self.firewall.users())


class FirewallsTest(world.AgentTest):
    def test_without_a_firewall_users_wait_and_keep_what_they_have(self):
        alice, = self.begin('alice')
        mine = self.firewall.wait_user('alice')
        self.firewall.stop()
        bob = self.host.start_user('bob')
        world.eventually(lambda: self.count('asked') == 1)
        self.pass_looks()
        for _ in range(10):
            self.assertTrue(is_in(alice.open(), mine))
            self.assert_outside(bob.open())
        self.firewall = self.host.start_firewall()
        self.wait_used('bob')
        self.assertEqual({'alice', 'bob'}, set(self.firewall.users()))
        self.assertEqual(mine, self.firewall.users()['alice'])

    def test_T06_one_that_is_away_must_have_forgotten(self):
        """Who was at a block is known there until its lifetime ends."""
        self.begin(more=('--range', '20000-20199', '--rest', '0',
                         '--lifetime', '6'),
                   firewalls=(world.FIREWALL, OTHER))
        other = self.host.start_firewall(name=OTHER)
        alice = self.host.start_user('alice')
        self.wait_used('alice')
        other.stop()
        self.assertEqual([FIRST], other.users()['alice'])
        alice.end()
        self.firewall.wait_gone('alice')
        ended = time.monotonic()
        self.host.start_user('bob')
        while time.monotonic() < ended + 14:
            self.assertNotIn('bob', self.firewall.users())
            time.sleep(0.1)
        self.firewall.wait_user('bob')
        # When it is back it hears the truth.
        other = self.host.start_firewall(name=OTHER)
        self.assertEqual([FIRST], other.wait_user('bob'))

    def test_one_that_comes_back_has_forgotten_when_it_was_told(self):
        self.begin(more=('--range', '20000-20199', '--rest', '0'),
                   firewalls=(world.FIREWALL, OTHER))
        other = self.host.start_firewall(name=OTHER)
        alice = self.host.start_user('alice')
        self.wait_used('alice')
        other.stop()
        alice.end()
        self.firewall.wait_gone('alice')
        self.host.start_user('bob')
        time.sleep(1)
        self.assertNotIn('bob', self.firewall.users())
        self.host.start_firewall(name=OTHER)
        self.firewall.wait_user('bob')

    def test_who_refuses_gets_no_rule(self):
        self.agent = self.host.start_agent()
        self.firewall = self.host.start_firewall(refuse=10)
        alice = self.host.start_user('alice')
        self.assertTrue(self.agent.err.wait('ERROR fw.example refuses'))
        self.pass_looks()
        for _ in range(10):
            self.assert_outside(alice.open())
        self.assertEqual([], self.blocks('alice'))

    def test_what_is_said_is_renewed(self):
        self.begin('alice', more=('--lifetime', '6'))
        for _ in range(2):
            before = self.firewall.names().count('REFRESH ALL')
            world.eventually(lambda: self.firewall.names()
                             .count('REFRESH ALL') > before)
        counts = {int.from_bytes(fields[0x8014], 'big')
                  for name, fields in self.firewall.heard
                  if name == 'REFRESH ALL'}
        self.assertEqual({1}, counts - {0})

    def test_resync_is_answered_by_a_snapshot(self):
        self.begin('alice')
        before = self.firewall.names().count('SNAPSHOT END')
        self.firewall.blocks = {}
        self.firewall.send('RESYNC', REASON=(1, ''))
        world.eventually(lambda: self.firewall.names().count('SNAPSHOT END')
                         > before)
        self.assertEqual(['alice'], list(self.firewall.users()))


if __name__ == '__main__':
    unittest.main()
