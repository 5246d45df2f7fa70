"""uidtsagent in network namespaces: what leaves the host, and what it does to
the host."""
# Mostly waits.
import pathlib
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import world  # noqa: E402
from world import is_in  # noqa: E402

FIRST, SIZE = world.FIRST_PORT, world.SIZE


def setUpModule():
    world.need_root()


class FlowsTest(world.AgentTest):
    def test_T01_flows_have_ports_of_their_user(self):
        names = ('alice', 'bob', 'carol')
        users = dict(zip(names, self.begin(*names)))
        taken = set()
        for name, user in users.items():
            blocks = self.firewall.wait_user(name)
            self.assertFalse(taken & set(blocks))
            taken |= set(blocks)
            start, seen = len(self.world.capture.packets), set()
            for protocol in ('tcp', 'udp'):
                for family in (4, 6):
                    seen.add(user.open(protocol, family))
            for port in seen:
                self.assertTrue(is_in(port, blocks), (name, port))
            # What passed the firewall, the last words of others left out.
            world.eventually(lambda: seen <= set(
                self.world.capture.ports_to(world.PORT, start)))
            user.close_all()
        for port in self.world.capture.ports_to(world.PORT):
            self.assertTrue(is_in(port, taken), port)

    def test_the_firewall_is_told_of_the_system_first(self):
        self.begin('alice')
        fields = dict(self.firewall.system)
        self.assertEqual(bytes([10, 78, 1, 2]), fields[0x8030])
        self.assertEqual(socket.inet_pton(socket.AF_INET6, world.HOST6),
                         fields[0x8018])
        self.assertEqual((20000).to_bytes(2, 'big') + (20000).to_bytes(4, 'big'),
                         fields[0x8015])
        self.assertEqual((200).to_bytes(4, 'big'), fields[0x8016])
        names = self.firewall.names()
        self.assertLess(names.index('TS CONFIG'), names.index('SNAPSHOT BEGIN'))
        self.assertLess(names.index('SNAPSHOT BEGIN'), names.index('WITHDRAW'))

    def test_the_kernel_waits_for_the_ack(self):
        self.agent = self.host.start_agent()
        self.firewall = self.host.start_firewall(acks=False)
        alice = self.host.start_user('alice')
        # What is not told cannot be forgotten either: nothing is asked for.
        world.eventually(lambda: 'SNAPSHOT END' in self.firewall.names())
        self.assertEqual(0, self.count('asked'))
        self.firewall.acknowledge()
        self.wait_used('alice')
        self.firewall.acks = False
        bob = self.host.start_user('bob')
        self.firewall.wait_user('bob')
        self.pass_looks()
        for _ in range(20):
            self.assert_outside(bob.open())
        self.assertEqual([], self.blocks('bob'))
        self.firewall.acknowledge()
        self.wait_used('bob')
        self.assertTrue(is_in(bob.open(), self.firewall.wait_user('bob')))
        self.assertTrue(is_in(alice.open(), self.firewall.wait_user('alice')))

    def test_a_foreign_port_is_moved_out_of_the_range(self):
        alice, bob = self.begin('alice', 'bob')
        root = self.host.stage.keep(world.User(self.world, 0))
        service = self.host.stage.keep(world.User(self.world, 999))
        mine = self.firewall.wait_user('alice')[0]
        for protocol in ('tcp', 'udp'):
            for family in (4, 6):
                for i, other in enumerate((root, service)):
                    self.assert_outside(other.open(protocol, family,
                                                   bind=mine + 7 + i))
                    self.assert_outside(other.open(
                        protocol, family, bind=FIRST + 10 * SIZE + i))
                seen = bob.open(protocol, family, bind=mine + 9)
                self.assertTrue(is_in(seen, self.firewall.wait_user('bob')))
                # His own he may choose.
                seen = alice.open(protocol, family, bind=mine + 10)
                self.assertEqual(mine + 10, seen)

    def test_who_is_no_user_keeps_his_port(self):
        self.begin('alice')
        root = self.host.stage.keep(world.User(self.world, 0))
        self.assertTrue(all(user['uid'] != '0'
                            for user in self.agent.state()['user']))
        for port in (700, 5000, 45000):
            for protocol in ('tcp', 'udp'):
                self.assertEqual(port, root.open(protocol, bind=port))

    def test_where_two_flows_meet_none_falls_into_a_block(self):
        """The kernel chooses a port where the one that a flow has is taken."""
        self.begin('alice')
        root = self.host.stage.keep(world.User(self.world, 0))
        for i in range(12):
            moved = root.open(bind=FIRST + 500 + i)
            self.assert_outside(moved)
            # The next has that port itself, and goes to the same place.
            other = root.open(bind=moved)
            self.assertNotEqual(moved, other)
            self.assert_outside(other)

    def test_what_the_kernel_forgot_does_not_leave_from_a_block(self):
        """A flow that was moved shows its own port when it is forgotten."""
        alice, bob = self.begin('alice', 'bob')
        mine = self.firewall.wait_user('alice')[0]
        self.assertTrue(is_in(bob.open(bind=mine + 5),
                              self.firewall.wait_user('bob')))
        self.assertTrue(bob.open(bind=45000))
        world.run(*self.world.prefix(self.world.host), 'conntrack', '-F')
        start = len(self.world.capture.packets)
        bob.ask(op='say')
        world.eventually(
            lambda: 45000 in self.world.capture.ports_to(world.PORT, start))
        self.assertNotIn(mine + 5,
                         self.world.capture.ports_to(world.PORT, start))

    def test_a_flow_of_another_user_is_not_gone_on_with(self):
        """The kernel knows a datagram's flow by its addresses and ports."""
        users = dict(zip(('alice', 'bob'), self.begin('alice', 'bob')))
        users['root'] = self.host.stage.keep(world.User(self.world, 0))
        for family in (4, 6):
            port = 45000
            for first, second in (('alice', 'bob'), ('bob', 'root'),
                                  ('root', 'alice')):
                port += 1
                seen = users[first].open('udp', family, bind=port)
                self.assertIsNotNone(seen)
                users[first].close_all()
                after = users[second].open('udp', family, bind=port, timeout=1)
                if first == 'root':
                    self.assert_outside(after)
                else:
                    self.assertIsNone(after)
                # Whose it was may go on.
                again = users[first].open('udp', family, bind=port)
                self.assertEqual(seen, again)
                users[first].close_all()

    def test_loopback_and_servers_are_left_alone(self):
        alice, = self.begin('alice')
        mine = self.firewall.wait_user('alice')[0]
        local = self.world.listen(self.world.host, socket.AF_INET,
                                  socket.SOCK_STREAM, mine + 3)
        threading.Thread(target=self.world._serve_tcp, args=(local,),
                         daemon=True).start()
        self.assertEqual(50123, alice.open(port=mine + 3, bind=50123,
                                           to='127.0.0.1'))
        # A connection from outside to a port in somebody's block.
        client = self.world.socket(self.world.fw, socket.AF_INET,
                                   socket.SOCK_STREAM)
        client.settimeout(5)
        client.connect((world.HOST4, mine + 3))
        self.assertTrue(client.recv(100))

    def test_multicast_keeps_its_port(self):
        alice, bob = self.begin('alice', 'bob')
        mine = self.firewall.wait_user('alice')[0]
        for bind, is_kept in ((5353, True), (mine + 9, False)):
            start = len(self.world.capture.packets)
            bob.open('udp', bind=bind, to='239.1.2.3', timeout=0.2)
            ports = [packet[2] for packet in self.world.capture.packets[start:]
                     if packet[3] == '239.1.2.3']
            self.assertTrue(ports)
            if is_kept:
                self.assertEqual({bind}, set(ports))
            else:
                self.assert_outside(ports[0])

    def test_blocks_on_demand_and_when_they_are_full(self):
        alice, = self.begin('alice', more=('--blocks-max', '2'))
        for i in range(150):
            self.assertIsNotNone(alice.open())
        blocks = self.wait_used('alice', 2)
        ports = set()
        for i in range(220):
            seen = alice.open('udp', timeout=1)
            self.assertTrue(is_in(seen, blocks), seen)
            ports.add(seen)
        # None is a port of somebody else, also when all are in use.
        for i in range(200):
            seen = alice.open('udp', timeout=0.1)
            self.assertTrue(seen is None or is_in(seen, blocks), seen)
            ports.add(seen)
        self.assertIn(None, ports)
        self.assertEqual(2, len(self.firewall.wait_user('alice')))
        # To another destination there is room, also where he chooses.
        for i, block in enumerate(blocks * 5):
            self.assertEqual(block + i, alice.open(family=6, bind=block + i))

    def test_rules_change_without_a_gap(self):
        """Flows that begin while blocks come and go, and all is replaced."""
        alice, bob = self.begin('alice', 'bob')
        mine = self.firewall.wait_user('alice')[0]
        his = self.firewall.wait_user('bob')
        start, port, is_over = len(self.world.capture.packets), 8000, []

        def disturb():
            while not is_over:
                carol = self.host.start_user('carol')
                for i in range(5):
                    # Somebody's hands in the table: it is made anew.
                    self.world.nft(f'add chain inet uidtsagent hand{i}')
                    time.sleep(0.1)
                carol.kill()
        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            for port in range(port, port + 10000, 500):
                bob.ask(op='flood', to=world.SERVER4, port=port, count=500,
                        bind=mine, size=SIZE)
        finally:
            is_over.append(True)
            thread.join()
        seen = [packet[2] for packet in self.world.capture.packets[start:]
                if 8000 <= packet[4] < 18000]
        self.assertGreater(len(seen), 9000)
        self.assertEqual([], [one for one in seen if not is_in(one, his)])
        self.assertTrue(any('made anew' in line
                            for line in self.agent.err.lines))

class HostTest(world.AgentTest):
    def test_the_end_undoes_all(self):
        before = self.world.rules()
        self.begin('alice')
        self.assertTrue(self.table_is_there())
        self.assertEqual(0, self.agent.stop())
        self.assertEqual({}, self.firewall.users())
        self.assertEqual(before, self.world.rules())

    def test_a_killed_agent_leaves_its_rules_until_the_next_comes(self):
        alice, = self.begin('alice')
        mine = self.firewall.wait_user('alice')
        flow = alice.open()
        self.assertTrue(is_in(flow, mine))
        self.agent.kill()
        # Firewalls still know him there: so he must be there.
        self.assertTrue(is_in(alice.open(), mine))
        root = self.host.stage.keep(world.User(self.world, 0))
        self.assert_outside(root.open(bind=mine[0] + 1))
        self.agent = self.host.start_agent()
        self.wait_used('alice')
        other = self.blocks('alice')
        # His flows of before have the old block: it rests.
        self.assertNotEqual(mine, other)
        self.assertEqual({'alice': other}, self.firewall.users())
        self.assertTrue(is_in(alice.open(), other))
        self.assertEqual(1, self.world.rules().count('table inet uidtsagent'))

    def test_undo_takes_away_what_a_killed_agent_left(self):
        before = self.world.rules()
        self.begin('alice')
        undo = [*self.host.prefix(), world.harness.program('uidtsagent'),
                '--undo', '--state-dir', str(self.host.stage.dir / 'state')]
        refused = world.harness.Process(undo)
        self.assertEqual(1, refused.wait())
        self.agent.kill()
        self.assertTrue(self.table_is_there())
        self.assertEqual(0, world.harness.Process(undo).wait())
        self.assertEqual(before, self.world.rules())
        self.assertEqual(0, world.harness.Process(undo).wait())

    def test_rules_that_somebody_takes_away_are_made_anew(self):
        alice, bob = self.begin('alice', 'bob')
        self.world.nft('flush ruleset')
        self.assertTrue(self.agent.err.wait('somebody changed the rules'))
        world.eventually(self.table_is_there)
        mine = self.firewall.wait_user('alice')
        self.assertTrue(is_in(alice.open(), mine))
        self.world.nft('flush chain inet uidtsagent post')
        world.eventually(lambda: 'skuid' in self.world.rules())
        self.assertTrue(is_in(bob.open(bind=mine[0]),
                              self.firewall.wait_user('bob')))
        # Rules of others are no concern.
        count = len(self.agent.err.lines)
        self.world.nft('add table inet uidtsagenx')
        time.sleep(0.5)
        self.assertEqual(count, len(self.agent.err.lines))

    def test_a_connection_of_before_keeps_its_port_and_its_block(self):
        alice = self.host.start_user('alice')
        bob = self.host.start_user('bob')
        self.assertEqual(FIRST + 5, bob.open(bind=FIRST + 5))
        self.begin()
        self.wait_used('alice')
        self.assertNotIn(FIRST, self.blocks('alice') + self.blocks('bob'))
        start = len(self.world.capture.packets)
        bob.ask(op='say')
        world.eventually(
            lambda: self.world.capture.ports_to(world.PORT, start))
        self.assertEqual({FIRST + 5}, set(
            self.world.capture.ports_to(world.PORT, start)))

    def test_flows_that_stay_on_the_host_hold_no_block(self):
        """They are seen by no firewall, and there may always be some."""
        self.agent = self.host.start_agent()
        local = self.world.listen(self.world.host, socket.AF_INET,
                                  socket.SOCK_STREAM, 700)
        threading.Thread(target=self.world._serve_tcp, args=(local,),
                         daemon=True).start()
        root = self.host.stage.keep(world.User(self.world, 0))
        ports = []
        for to in ('127.0.0.1', '127.0.0.53', world.HOST4):
            ports.append(FIRST + (10 + len(ports)) * SIZE)
            self.assertEqual(ports[-1],
                             root.open(port=700, bind=ports[-1], to=to))
        self.pass_looks()
        # Nobody was told anything: all blocks rest, and are shown.
        flows = {int(block[''].split('-')[0]): block['flows']
                 for block in self.agent.state()['block']}
        self.assertEqual(dict.fromkeys(ports, '0'),
                         {port: flows[port] for port in ports})

    def test_only_the_right_to_change_the_network_is_left(self):
        self.begin('alice')
        status = dict(
            line.split(':\t', 1) for line in
            pathlib.Path(f'/proc/{self.agent.pid}/status').read_text()
            .splitlines() if line.startswith('Cap'))
        for kind in ('CapEff', 'CapPrm', 'CapBnd'):
            self.assertEqual(1 << 12, int(status[kind], 16), kind)

    def test_a_second_one_is_refused(self):
        self.begin('alice')
        with self.assertRaises(AssertionError):
            self.host.start_agent()
        self.assertTrue(self.table_is_there())

    def test_addresses_that_come_and_go_are_said(self):
        self.begin('alice')
        before = self.aliases()
        for what, expected in (('add', before + [bytes([10, 78, 1, 77])]),
                               ('del', before)):
            self.world.ip(self.world.host, 'addr', what, '10.78.1.77/24', 'dev',
                          'wan')
            world.eventually(lambda: sorted(self.aliases()) == sorted(expected))
            shown = self.agent.state()['system'][0]
            self.assertEqual(what == 'add',
                             '10.78.1.77' in shown['addresses'].split(','))
        self.assertEqual(('20000-39999', '200', world.HOST6),
                         (shown['ports'], shown['block'],
                          shown['addresses'].split(',')[-1]))

    def aliases(self):
        return [value for kind, value in self.firewall.system
                if kind in (0x8018, 0x8030)]

    def test_a_start_that_fails_leaves_nothing(self):
        before = self.world.rules()
        self.host.certificate = ('/nonexistent', '/nonexistent')
        with self.assertRaises(AssertionError):
            self.host.start_agent()
        self.assertEqual(before, self.world.rules())


if __name__ == '__main__':
    unittest.main()
