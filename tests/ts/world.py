"""A terminal server, a firewall that forwards, and a server behind it, in
network namespaces; users with uids of their own, and a firewall's side of the
protocol that dials.

    users --- host ---(10.78.1.0/24, fd78:1::/64)--- fw ---(.2.)--- server

World       the three namespaces, what answers in the server's, and what passes
            through the firewall's (captured there, packet by packet)
User        a process of a uid in the host's namespace, which opens flows
Firewall    a sink that connects to the agent; it judges nothing
Host        uidtsagent, with users of its own in /etc/passwd

Needs root; need_root() skips, saying so. Everything is removed by close().
Threads enter namespaces, the process never does.
"""
import ctypes
import json
import os
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'integration'))

import harness  # noqa: E402
import uidrecv1 as wire  # noqa: E402

HOST4, FW4, SERVER4 = '10.78.1.2', '10.78.1.1', '10.78.2.2'
HOST6, FW6, SERVER6 = 'fd78:1::2', 'fd78:1::1', 'fd78:2::2'
SERVERS = {4: SERVER4, 6: SERVER6}
PORT = 7000                       # of the servers, TCP and UDP
AGENT_PORT = 5009
AGENT, FIREWALL = 'ts.example', 'fw.example'
# /proc has the processes of all: tests beside each other have uids of their own.
FIRST_UID = 100001 + os.getpid() % 4000 * 100
FIRST_PORT, LAST_PORT, SIZE = 20000, 39999, 200
NAMES = ('alice', 'bob', 'carol', 'dave', 'erin')
PATIENCE_S = harness.PATIENCE_S
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def need_root():
    if os.geteuid() != 0:
        raise unittest.SkipTest('needs root: network namespaces')
    if not (harness.build_root() / 'examples' / 'uidtsagent').exists():
        raise unittest.SkipTest('uidtsagent is not built: libnftables-dev or '
                                'libnetfilter-conntrack-dev is missing')
    probe = f'ts-probe{os.getpid()}'
    try:
        run('ip', 'netns', 'add', probe)
        run('ip', 'netns', 'del', probe)
    except (OSError, subprocess.CalledProcessError) as error:
        raise unittest.SkipTest(f'no network namespaces: {error}') from None


def run(*arguments, text=None):
    return subprocess.run(arguments, check=True, capture_output=True,
                          text=True, input=text).stdout


def eventually(function, what='it', timeout=None):
    """Waits until the function returns something true, and returns it."""
    deadline = time.monotonic() + (timeout or PATIENCE_S)
    while True:
        result = function()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f'{what} does not happen: {result}')
        time.sleep(0.02)


class Capture(threading.Thread):
    """The TCP and UDP packets of an interface, as (protocol, source, port,
    destination, port, flags)."""
    def __init__(self, raw):
        super().__init__(daemon=True)
        self.raw, self.packets = raw, []
        raw.settimeout(0.1)
        self.is_stopped = threading.Event()

    def run(self):
        while not self.is_stopped.is_set():
            try:
                self._take(self.raw.recv(65536))
            except TimeoutError:
                pass
            except OSError:
                return

    def _take(self, frame):
        kind, = struct.unpack_from('>H', frame, 12)
        packet = frame[14:]
        if kind == 0x0800 and not packet[6] & 0x1f:
            at, protocol = (packet[0] & 15) * 4, packet[9]
            ends = [socket.inet_ntop(socket.AF_INET, packet[i:i + 4])
                    for i in (12, 16)]
        elif kind == 0x86dd:
            at, protocol = 40, packet[6]
            ends = [socket.inet_ntop(socket.AF_INET6, packet[i:i + 16])
                    for i in (8, 24)]
        else:
            return
        if protocol in (6, 17):
            source, target = struct.unpack_from('>HH', packet, at)
            flags = packet[at + 13] if protocol == 6 else 0
            self.packets.append(('tcp' if protocol == 6 else 'udp', ends[0],
                                 source, ends[1], target, flags))

    def stop(self):
        self.is_stopped.set()
        self.join()
        self.raw.close()

    def ports_to(self, target, start=0):
        """The source ports of what went to a port of the servers."""
        return [packet[2] for packet in self.packets[start:]
                if packet[3] in SERVERS.values() and packet[4] == target]


class World:
    COUNT = 0

    def __init__(self):
        World.COUNT += 1
        base = f'ts{os.getpid()}-{World.COUNT}'
        self.host, self.fw, self.server = (f'{base}{end}' for end in 'hfs')
        self.closing, self.sockets = [], []
        try:
            self._build()
            self._serve()
        except BaseException:
            self.close()
            raise

    def _build(self):
        for name in (self.host, self.fw, self.server):
            run('ip', 'netns', 'add', name)
            self.closing.append(('ip', 'netns', 'del', name))
            self.ip(name, 'link', 'set', 'dev', 'lo', 'up')
        self._link(self.host, 'wan', self.fw, 'down', 1)
        self._link(self.server, 'wan', self.fw, 'out', 2)
        self.sysctl(self.fw, 'net/ipv4/ip_forward', 1)
        self.sysctl(self.fw, 'net/ipv6/conf/all/forwarding', 1)
        for name, net in ((self.host, 1), (self.server, 2)):
            self.ip(name, 'route', 'add', 'default', 'via', f'10.78.{net}.1')
            self.ip(name, '-6', 'route', 'add', 'default', 'via',
                    f'fd78:{net}::1')

    def _link(self, name, here, fw, there, net):
        self.ip(name, 'link', 'add', here, 'type', 'veth', 'peer', 'name',
                there, 'netns', fw)
        for where, link, last in ((name, here, 2), (fw, there, 1)):
            self.ip(where, 'link', 'set', 'dev', link, 'up')
            self.ip(where, 'addr', 'add', f'10.78.{net}.{last}/24', 'dev', link)
            self.ip(where, 'addr', 'add', f'fd78:{net}::{last}/64', 'dev', link,
                    'nodad')

    def ip(self, name, *arguments):
        return run('ip', '-n', name, *arguments)

    def prefix(self, name):
        """Of a command that is to run in a namespace."""
        return ['ip', 'netns', 'exec', name]

    def sysctl(self, name, key, value):
        run(*self.prefix(name), 'sh', '-c', f'echo {value} >/proc/sys/{key}')

    def inside(self, name, function):
        """Calls it in a thread that has entered the namespace."""
        result = []

        def enter():
            with open(f'/run/netns/{name}', 'rb') as file:
                if LIBC.setns(file.fileno(), CLONE_NEWNET) < 0:
                    result.append(OSError(ctypes.get_errno(), 'setns'))
                    return
            try:
                result.append(function())
            except Exception as error:  # handed on
                result.append(error)
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    def socket(self, name, *arguments):
        made = self.inside(name, lambda: socket.socket(*arguments))
        self.sockets.append(made)
        return made

    def listen(self, name, family, kind, port):
        made = self.socket(name, family, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(('::' if family == socket.AF_INET6 else '0.0.0.0', port))
        if kind == socket.SOCK_STREAM:
            made.listen(1024)
        return made

    def _serve(self):
        """Servers that tell each client its address and port."""
        for family in (socket.AF_INET, socket.AF_INET6):
            for kind, serve in ((socket.SOCK_STREAM, self._serve_tcp),
                                (socket.SOCK_DGRAM, self._serve_udp)):
                made = self.listen(self.server, family, kind, PORT)
                threading.Thread(target=serve, args=(made,),
                                 daemon=True).start()
        raw = self.socket(self.fw, socket.AF_PACKET, socket.SOCK_RAW,
                          socket.htons(3))
        raw.bind(('down', 3))
        raw.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
        self.capture = Capture(raw)
        self.capture.start()

    @staticmethod
    def _serve_tcp(made):
        kept = []
        while True:
            try:
                accepted, peer = made.accept()
            except OSError:
                break
            kept.append(accepted)
            try:
                accepted.sendall(f'{peer[0]} {peer[1]}\n'.encode())
            except OSError:
                pass
        for accepted in kept:
            accepted.close()

    @staticmethod
    def _serve_udp(made):
        while True:
            try:
                _, peer = made.recvfrom(100)
                if peer is None:
                    return
                made.sendto(f'{peer[0]} {peer[1]}\n'.encode(), peer)
            except OSError:
                return

    def nft(self, text):
        return run(*self.prefix(self.host), 'nft', '-f', '-', text=text)

    def rules(self):
        return run(*self.prefix(self.host), 'nft', 'list', 'ruleset')

    def conntrack(self):
        """The lines of the host's table of connections."""
        return run(*self.prefix(self.host), 'cat',
                   '/proc/net/nf_conntrack').splitlines()

    def close(self):
        if hasattr(self, 'capture'):
            self.capture.stop()
        for made in self.sockets:
            try:
                made.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            made.close()
        for command in reversed(self.closing):
            subprocess.run(command, check=False, capture_output=True)
        self.closing = []


class User(harness.Process):
    """A process of a uid, which opens flows as it is told."""
    def __init__(self, world, uid):
        self.uid, self.lock, self.said = uid, threading.Lock(), 0
        super().__init__([*world.prefix(world.host), sys.executable, '-B',
                          str(HERE / 'world.py'), 'user', str(uid)],
                         stdin=subprocess.PIPE)
        self.need('^up$')

    def ask(self, **question):
        with self.lock:
            start = len(self.out.lines)
            self.process.stdin.write(json.dumps(question).encode() + b'\n')
            self.process.stdin.flush()
            return json.loads(self.need('^{', start).string)

    def open(self, protocol='tcp', family=4, port=PORT, bind=0, to=None,
             timeout=5):
        """Returns the source port that the server sees, or None."""
        return self.ask(op='open', protocol=protocol, family=family,
                        to=to or SERVERS[family], port=port, bind=bind,
                        timeout=timeout)['seen']

    def close_all(self):
        self.ask(op='close')

    def end(self):
        self.process.stdin.close()
        return self.wait()


def open_flow(question):
    """Returns (socket, the source port that the server sees)."""
    is_tcp = question['protocol'] == 'tcp'
    family = socket.AF_INET if question['family'] == 4 else socket.AF_INET6
    made = socket.socket(family,
                         socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
    made.settimeout(question['timeout'])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if question['bind']:
        made.bind(('0.0.0.0' if question['family'] == 4 else '::',
                   question['bind']))
    try:
        made.connect((question['to'], question['port']))
        if not is_tcp:
            made.send(b'?')
        return made, int(made.recv(100).split()[1])
    except OSError:
        return made, None


def flood(question):
    """Datagrams to many ports, from ports that are chosen."""
    for i in range(question['count']):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(('0.0.0.0', question['bind'] + i % question['size']))
            made.sendto(b'!', (question['to'], question['port'] + i))


def be_user(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    LIBC.prctl(4, 0)              # as sshd's: /proc says that it is root's
    flows = []
    print('up', flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        answer = {}
        if question['op'] == 'open':
            made, answer['seen'] = open_flow(question)
            flows.append(made)
        elif question['op'] == 'say':
            for made in flows:
                made.send(b'.')
        elif question['op'] == 'flood':
            flood(question)
        elif question['op'] == 'close':
            for made in flows:
                made.close()
            flows = []
        print(json.dumps(answer), flush=True)


class Firewall(threading.Thread):
    """A sink that connects to the agent, and knows what it was told:
    blocks, {first port: user}, and system, the TLVs of TS CONFIG."""
    def __init__(self, world, stage, name=FIREWALL, acks=True, refuse=None):
        super().__init__(daemon=True)
        self.world, self.stage, self.name_ = world, stage, name
        self.acks, self.refuse = acks, refuse
        self.certificate = stage.authority.issue(name)
        self.blocks, self.system, self.heard = {}, None, []
        self.lock, self.tls = threading.Lock(), None
        self.durable, self.session, self.epoch = 0, None, {}
        self.is_ready, self.is_stopped = False, False
        self.start()

    def run(self):
        while not self.is_stopped:
            self.is_ready = False
            try:
                self._connect()
                self._serve()
            except (OSError, EOFError):
                time.sleep(0.05)

    def _connect(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.stage.authority.cert)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(*self.certificate)
        context.set_alpn_protocols([wire.ALPN])
        raw = self.world.inside(self.world.fw, socket.socket)
        raw.settimeout(5)
        try:
            raw.connect((HOST4, AGENT_PORT))
            self.tls = context.wrap_socket(raw)
        except BaseException:
            raw.close()
            raise
        self.tls.settimeout(None)
        self.send('HELLO', VERSIONS=(1, 1), ROLE=wire.SINK,
                  HOLD_RANGE=(3, 90), FRAME_MAX=65536,
                  CLOCK=(time.time_ns() // 1000, 0, 0), CAPABILITIES=7)

    def send(self, name, serial=0, **fields):
        body = b''.join(wire.encode_tlv(key, value)
                        for key, value in fields.items())
        frame = wire.Frame(wire.MESSAGES[name], serial, body).encode()
        with self.lock:
            self.tls.sendall(frame)

    def _read(self, size):
        data = b''
        while len(data) < size:
            more = self.tls.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _serve(self):
        with self.tls:
            while not self.is_stopped:
                header = self._read(16)
                kind = header[1]
                length, serial = struct.unpack_from('>IQ', header, 4)
                self._take(wire.MESSAGE_NAMES[kind], serial,
                           self._read(length))

    @staticmethod
    def tlvs(body):
        found, at = [], 0
        while at < len(body):
            kind, length = struct.unpack_from('>HH', body, at)
            found.append((kind, body[at + 4:at + 4 + length]))
            at += 4 + length
        return found

    def _take(self, name, serial, body):
        if name == 'HELLO':
            session = dict(self.tlvs(body))[0x8003]
            if session != self.session:
                self.session, self.durable = session, 0
            self.send('READY', VERSION=1, HOLD_TIME=60, DURABLE=self.durable,
                      WINDOW=256)
            self.is_ready = True
        elif name in ('KEEPALIVE', 'BYE'):
            self.heard.append((name, {}))
        else:
            self._take_serial(name, serial, self.tlvs(body))

    def _take_serial(self, name, serial, fields):
        if name == 'TS CONFIG':
            self.system = fields
        elif name == 'SNAPSHOT BEGIN':
            self.epoch = {}
        elif name == 'SNAPSHOT END':
            self.blocks = self.epoch
        refused = []
        for index, (kind, value) in enumerate(
                field for field in fields if field[0] & 0xfff0 == 0x8020):
            if not self._take_record(kind, dict(self.tlvs(value))):
                refused.append(index)
        self.heard.append((name, dict(fields)))
        self.durable = serial
        for index in refused:
            self.send('REJECT', serial, REFUSED=(index, self.refuse, ''))
        if self.acks:
            self.send('ACK', serial)

    def _take_record(self, kind, record):
        start, count = struct.unpack('>HI', record[0x8015])
        if kind == 0x8020:
            if self.refuse:
                return False
            user = record[0x8031].decode()
            self.heard.append(('MAP', {'start': start, 'user': user}))
            self.blocks = {**self.blocks, start: user}
            self.epoch = {**self.epoch, start: user}
        elif kind == 0x8023:
            self.heard.append(('WITHDRAW', {'start': start}))
            self.blocks = {at: who for at, who in self.blocks.items()
                           if at != start}
            self.epoch.pop(start, None)
        return True

    def acknowledge(self):
        """After acks was False."""
        self.acks = True
        self.send('ACK', self.durable)

    def names(self):
        return [name for name, _ in self.heard]

    def users(self):
        """{user: [first port, ...]}"""
        found = {}
        for start, user in sorted(self.blocks.items()):
            found.setdefault(user, []).append(start)
        return found

    def wait_user(self, user, count=1):
        """Returns the first ports of a user's blocks."""
        return eventually(
            lambda: len(self.users().get(user, [])) >= count
            and self.users()[user], f'{user} with {count} blocks')

    def wait_gone(self, user):
        eventually(lambda: user not in self.users(), f'{user} is gone')

    def stop(self):
        self.is_stopped = True
        if self.tls:
            try:
                self.tls.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.join(PATIENCE_S)


class Agent(harness.Process):
    """uidtsagent."""
    def state(self):
        """{kind: [{key: value}]} of SIGUSR1; the name is key ''."""
        start = len(self.out.lines)
        self.signal(signal.SIGUSR1)
        self.need('^agent ', start)
        found = {}
        for line in self.out.lines[start:]:
            kind, *words = line.split()
            name = words.pop(0) if '=' not in words[0] else ''
            found.setdefault(kind, []).append(
                {'': name, **dict(word.split('=', 1) for word in words)})
        return found

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()


class Host:
    """A world, a stage, and what runs in them. Users are alice, bob, carol,
    ... with the uids from FIRST_UID on."""
    def __init__(self, test, world=None):
        self.stage = harness.Stage()
        test.addCleanup(self.stage.close)
        self.world = world or World()
        if world is None:
            test.addCleanup(self.world.close)
        self.test = test
        self.certificate = self.stage.authority.issue(AGENT)
        self.passwd = self.stage.dir / 'passwd'
        self.passwd.write_text('root:x:0:0::/:/bin/sh\n' + ''.join(
            f'{name}:x:{FIRST_UID + i}:{FIRST_UID + i}::/:/bin/sh\n'
            for i, name in enumerate(NAMES)))

    def prefix(self):
        """Of what runs on the host, with its /etc/passwd."""
        return [*self.world.prefix(self.world.host), 'unshare', '--mount', 'sh',
                '-c', 'mount --make-rprivate / && '
                'mount --bind "$0" /etc/passwd && exec "$@"', str(self.passwd)]

    def start_agent(self, *more, firewalls=(FIREWALL,), uids=True):
        cert, key = self.certificate
        names = [word for name in firewalls for word in ('--firewall', name)]
        users = ('--uids', f'{FIRST_UID}-{FIRST_UID + 99}') if uids else ()
        agent = self.stage.keep(Agent([
            *self.prefix(), harness.program('uidtsagent'), '-vv', '--listen',
            f'*:{AGENT_PORT}', '--cert', cert, '--key', key, '--ca',
            self.stage.authority.cert, *names, *users, '--interval-ms', '100',
            '--state-dir', str(self.stage.dir / 'state'), *more]))
        agent.need('^ready$')
        return agent

    def start_firewall(self, **options):
        firewall = Firewall(self.world, self.stage, **options)
        self.test.addCleanup(firewall.stop)
        return firewall

    def start_user(self, name):
        return self.stage.keep(User(self.world,
                                    FIRST_UID + NAMES.index(name)))


def is_in(port, starts):
    """Is it in one of the blocks?"""
    return any(start <= port < start + SIZE for start in starts)


class AgentTest(unittest.TestCase):
    """One agent, one firewall, and users."""
    def setUp(self):
        self.host = Host(self)
        self.world, self.last = self.host.world, LAST_PORT

    def begin(self, *names, more=(), firewalls=(FIREWALL,), **options):
        """Starts the agent, a firewall and users; waits for their blocks."""
        for word in more:
            if word.startswith(f'{FIRST_PORT}-'):
                self.last = int(word.split('-')[1])
        self.agent = self.host.start_agent(*more, firewalls=firewalls)
        self.firewall = self.host.start_firewall(**options)
        users = [self.host.start_user(name) for name in names]
        for name in names:
            self.wait_used(name)
        return users

    def blocks(self, name, state='used'):
        """The first ports of a user's blocks."""
        uid = str(FIRST_UID + NAMES.index(name))
        return [int(block[''].split('-')[0])
                for block in self.agent.state().get('block', ())
                if block['state'] == state and block['uid'] == uid]

    def count(self, key):
        return int(self.agent.state()['agent'][0][key])

    def pass_looks(self, count=5):
        """Waits until the agent has looked so often."""
        start = self.count('looks')
        eventually(lambda: self.count('looks') >= start + count)

    def wait_used(self, name, count=1):
        return eventually(
            lambda: len(self.blocks(name)) >= count and self.blocks(name),
            f'{count} blocks of {name}')

    def assert_outside(self, port):
        self.assertIsNotNone(port)
        self.assertFalse(FIRST_PORT <= port <= self.last, port)

    def table_is_there(self):
        return 'table inet uidtsagent' in self.world.rules()


if __name__ == '__main__' and sys.argv[1:2] == ['user']:
    be_user(int(sys.argv[2]))
