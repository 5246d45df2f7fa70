"""uidtsagent on a host, uidrecvd on a firewall that connects to it, and a
server behind: packets are captured on the firewall, and each is resolved while
it passes. Whose it is stands in the packet: users have servers of their own.
"""
import collections
import json
import os
import pathlib
import select
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import world  # noqa: E402
from world import eventually, harness  # noqa: E402

USERS = ('alice', 'bob', 'carol')
ROOT = 'root'
# The server's ports for each; the last is for many flows to one destination.
PORTS = {name: range(7100 + 10 * i, 7105 + 10 * i)
         for i, name in enumerate((*USERS, ROOT))}
OWNERS = {port: name for name, ports in PORTS.items() for port in ports}
EACH = 1000                       # flows of a user
BATCH, KEPT = 16, 200             # flows that are opened, and stay open
LIST = (f'{world.AGENT} 10.78.1.0/24 fd78:1::/64 allow=multi-user,drops '
        f'dial={world.HOST4}:{world.AGENT_PORT}\n')
UNKNOWN = 'unknown-port'


def setUpModule():
    world.need_root()


class Question:
    """uidlookup over a pipe."""
    def __init__(self, stage):
        self.process = subprocess.Popen(
            [harness.program('uidlookup'), '--table', stage.table, '--json',
             '-'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lock = threading.Lock()

    def ask(self, query):
        """A user, what else the answer is, or None."""
        with self.lock:
            self.process.stdin.write(f'{query}\n'.encode())
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        return answer['user'] or answer.get('answer')

    def close(self):
        self.process.stdin.close()
        self.process.wait(harness.PATIENCE_S)
        self.process.stdout.close()


class Watch(world.Capture):
    """Resolves each flow that begins, and each ping, when its packet is here.
    answers: {(owner, answer): packets}; strays: protocols of nobody's."""
    def __init__(self, raw, ask):
        super().__init__(raw)
        self.ask = ask
        self.forget()

    def forget(self):
        self.flows, self.pings, self.strays = set(), [], []
        self.answers = collections.Counter()

    def _take(self, frame):
        if frame[12:14] == b'\x08\x00' and frame[23] == 1 and frame[34] == 8:
            source = socket.inet_ntop(socket.AF_INET, frame[26:30])
            self.pings.append(self.ask(source))
            return
        super()._take(frame)
        while self.packets:
            self._judge(*self.packets.pop())

    def _judge(self, protocol, source, port, target, to, flags):
        if (target not in world.SERVERS.values() or to not in OWNERS
                or protocol == 'tcp' and flags & 0x12 != 0x02):
            return
        place = f'[{source}]' if ':' in source else source
        answer = self.ask(f'{place}:{port}')
        self.answers[OWNERS[to], answer] += 1
        if answer == UNKNOWN:
            self.strays.append(protocol)
        self.flows.add((protocol, source, port, target, to))

    def wrong(self):
        """Answers that name somebody else."""
        return {key: count for key, count in self.answers.items()
                if key[1] not in (key[0], UNKNOWN)}

    def unknown(self):
        return sum(count for (owner, answer), count in self.answers.items()
                   if answer == UNKNOWN and owner != ROOT)


class Program(harness.Process):
    """This file, as a server, or as a user who opens flows."""
    def __init__(self, namespace, prefix, *words):
        super().__init__([*prefix(namespace), sys.executable, '-B', __file__,
                          *map(str, words)], stdin=subprocess.PIPE)
        self.need('^up$')
        self.asked = 0

    def open(self, count, ports):
        """Begins to open flows, until so many were answered."""
        self.asked += 1
        self.process.stdin.write(f'{count} {ports[0]} {ports[-1]}\n'.encode())
        self.process.stdin.flush()

    def is_done(self):
        return len(self.out.lines) > self.asked

    def end(self):
        self.process.stdin.close()
        return self.wait()


class PacketsTest(world.AgentTest):
    def setUp(self):
        super().setUp()
        stage = self.stage = self.host.stage
        stage.server = stage.authority.issue(world.FIREWALL)
        stage.agents.write_text(LIST)
        self.agent = self.host.start_agent()
        self.receiver = self.start_receiver()
        self.start(self.world.server, 'server')
        question = Question(stage)
        self.addCleanup(question.close)
        self.ask = question.ask
        self.watch_packets()
        # Nobody has a block before the firewall is connected.
        eventually(lambda: self.ask(world.HOST4) == 'no-port', 'the system')
        self.users = {
            name: self.start(self.world.host, 'user', world.FIRST_UID + i)
            for i, name in enumerate(USERS)}
        for name in USERS:
            self.wait_used(name)

    def start(self, namespace, *words):
        return self.stage.keep(Program(namespace, self.world.prefix, *words))

    def start_receiver(self):
        receiver = self.stage.keep(harness.Receiver(
            [*self.world.prefix(self.world.fw),
             *self.stage.receiver_arguments()]))
        return receiver.wait_ready()

    def watch_packets(self):
        self.world.capture.stop()
        raw = self.world.socket(self.world.fw, socket.AF_PACKET,
                                socket.SOCK_RAW, socket.htons(3))
        raw.bind(('down', 3))
        raw.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        self.watch = Watch(raw, self.ask)
        self.watch.start()
        self.addCleanup(self.watch.stop)

    def open_all(self, count, meanwhile=lambda: None):
        """All users at once; until each had so many flows answered."""
        for name, user in self.users.items():
            user.open(count, PORTS[name][:-1])
        meanwhile()
        self.wait_done(*self.users.values())

    def wait_done(self, *users):
        eventually(lambda: all(user.is_done() for user in users), 'all flows')
        # What came from them has passed, and this comes behind it.
        count = len(self.watch.pings)
        self.ping()
        eventually(lambda: len(self.watch.pings) > count, 'a ping')

    def check(self, may_be_unknown=False):
        self.assertEqual({}, self.watch.wrong())
        if not may_be_unknown:
            self.assertEqual(0, self.watch.unknown(), self.watch.answers)

    def ping(self):
        raw = self.world.socket(self.world.host, socket.AF_INET,
                                socket.SOCK_RAW, socket.IPPROTO_ICMP)
        raw.sendto(struct.pack('>BBHHH', 8, 0, 0xf7fe, 0, 1),
                   (world.SERVER4, 0))

    def test_T01_each_packet_is_of_its_user(self):
        self.open_all(EACH)
        self.check()
        self.assertGreaterEqual(len(self.watch.flows), EACH * len(USERS))
        self.assertEqual({(name, name) for name in USERS},
                         set(self.watch.answers))
        self.check_second_block()
        self.check_nobody()
        # Who logs out has no block any more.
        starts = self.blocks('carol')
        self.assertEqual('carol', self.ask(f'{world.HOST4}:{starts[0]}'))
        self.users.pop('carol').end()
        for start in starts:
            for port in start, start + world.SIZE - 1:
                eventually(lambda at=port: self.ask(f'{world.HOST4}:{at}')
                           == UNKNOWN, f'the end of {port}')
        self.open_all(40)
        self.check()

    def check_second_block(self):
        """170 of each kind to one destination, then 20 from two blocks."""
        alice = self.users['alice']
        alice.open(680, PORTS['alice'][-1:])
        self.wait_done(alice)
        self.wait_used('alice', 2)
        alice.open(80, PORTS['alice'][-1:])
        self.wait_done(alice)
        second = self.blocks('alice')[1]
        self.assertTrue(any(world.is_in(flow[2], [second])
                            for flow in self.watch.flows))
        self.check()

    def check_nobody(self):
        """What has no port, and who is no user."""
        self.assertEqual({'no-port'}, set(self.watch.pings))
        root = self.start(self.world.host, 'user', 0)
        root.open(40, PORTS[ROOT])
        self.wait_done(root)
        self.assertGreaterEqual(self.watch.answers[ROOT, UNKNOWN], 40)
        self.check()

    def test_T06_the_agent_is_killed(self):
        # The kernel goes on, and so do the answers.
        self.open_all(400, self.agent.kill)
        self.open_all(100)
        self.check()
        self.agent = self.host.start_agent()
        # It remembers nothing: who has no block yet is nobody.
        while not all(self.blocks(name) for name in USERS):
            self.open_all(40)
        self.check(may_be_unknown=True)
        self.watch.forget()
        self.open_all(100)
        # To the kernel a datagram may be of a flow of before.
        self.check(may_be_unknown=True)
        self.assertNotIn('tcp', self.watch.strays)
        self.assertLess(len(self.watch.strays), 30)

    def test_T06_the_receiver_is_killed(self):
        self.open_all(400, self.receiver.kill)
        self.open_all(100)
        self.receiver = self.start_receiver()
        while self.receiver.status()[1][world.AGENT]['connected'] != 'yes':
            self.open_all(40)
        self.open_all(100)
        self.check()


# --- the other programs ---

KINDS = [(family, kind) for family in (4, 6)
         for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def open_one(family, kind, port):
    made = socket.socket(FAMILIES[family], kind)
    made.setblocking(False)
    try:
        made.connect((world.SERVERS[family], port))
    except BlockingIOError:
        pass
    if kind == socket.SOCK_DGRAM:
        made.send(b'?')
    return made


def open_batch(ports):
    """Returns the flows that were answered; the others are closed."""
    made = [open_one(*KINDS[i % len(KINDS)],
                     ports[i // len(KINDS) % len(ports)])
            for i in range(BATCH)]
    waiting = {one.fileno(): one for one in made}
    poll, answered = select.poll(), []
    for one in waiting:
        poll.register(one, select.POLLIN)
    deadline = time.monotonic() + 3
    while waiting and time.monotonic() < deadline:
        for one, _ in poll.poll(100):
            poll.unregister(one)
            done = waiting.pop(one)
            try:
                done.recv(100)
                answered.append(done)
            except OSError:
                done.close()
    for one in waiting.values():
        one.close()
    return answered


def be_user(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    flows = collections.deque()
    print('up', flush=True)
    for line in sys.stdin:
        wanted, first, last = map(int, line.split())
        count = 0
        while count < wanted:
            answered = open_batch(range(first, last + 1))
            count += len(answered)
            flows += answered
            while len(flows) > KEPT:
                # Some connections end, some are reset.
                flows[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                    struct.pack('ii', len(flows) % 2, 0))
                flows.popleft().close()
        print(f'done {count}', flush=True)


def serve(made, is_stream, selector):
    if not is_stream:
        _, peer = made.recvfrom(100)
        made.sendto(b'!', peer)
        return
    accepted, _ = made.accept()
    accepted.setblocking(False)
    accepted.send(b'!')
    selector.register(accepted, selectors.EVENT_READ, None)


def be_server():
    selector = selectors.DefaultSelector()
    for port in OWNERS:
        for family, kind in KINDS:
            made = socket.socket(FAMILIES[family], kind)
            if family == 6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(('', port))
            if kind == socket.SOCK_STREAM:
                made.listen(1024)
            selector.register(made, selectors.EVENT_READ,
                              'tcp' if kind == socket.SOCK_STREAM else 'udp')
    print('up', flush=True)
    while True:
        for key, _ in selector.select():
            try:
                if key.data:
                    serve(key.fileobj, key.data == 'tcp', selector)
                    continue
            except OSError:
                continue
            selector.unregister(key.fileobj)
            key.fileobj.close()


if __name__ == '__main__':
    if sys.argv[1:2] == ['server']:
        be_server()
    elif sys.argv[1:2] == ['user']:
        be_user(int(sys.argv[2]))
    else:
        unittest.main()
