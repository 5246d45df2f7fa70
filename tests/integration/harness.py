"""What the end-to-end tests share: certificates, programs, raw peers.

Everything is started by a Stage, which ends what it started and removes its
directory, whatever happens. Programs come from $BUILD_ROOT, or from
build-tests/ or build/.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / 'examples'
sys.path.insert(0, str(EXAMPLES))

import uidrecv1  # noqa: E402

PATIENCE_S = float(os.environ.get('UIDRECV_TEST_PATIENCE_S', 30))
AGENT = 'agent.example'
RECEIVER = 'localhost'
AGENT_KINDS = ('uidagent', 'agent.py')


def build_root():
    given = os.environ.get('BUILD_ROOT')
    places = [given] if given else [ROOT / 'build-tests', ROOT / 'build']
    for place in map(pathlib.Path, places):
        if (place / 'examples' / 'uidrecvd').exists():
            return place
    raise RuntimeError(f'no programs in {" or ".join(map(str, places))}: build '
                       'them first, or set BUILD_ROOT')


def program(name):
    return str(build_root() / 'examples' / name)


def utc(days):
    moment = time.gmtime(time.time() + days * 86400)
    return time.strftime('%Y%m%d%H%M%SZ', moment)


class Authority:
    """A certificate authority in a directory; issues and revokes. Days of
    validity count from now."""
    CONFIG = '''
        [ca]
        default_ca = here
        [here]
        database = {dir}/index
        serial = {dir}/serial
        new_certs_dir = {dir}
        certificate = {dir}/ca.pem
        private_key = {dir}/ca-key.pem
        default_md = sha256
        policy = any
        unique_subject = no
        default_crl_days = 1
        [any]
        commonName = supplied
        [req]
        distinguished_name = any
        [root]
        basicConstraints = critical, CA:TRUE
        keyUsage = critical, keyCertSign, cRLSign
        subjectKeyIdentifier = hash
    '''

    def __init__(self, directory, start=-1, end=10.5):
        self.dir, self.validity = pathlib.Path(directory), (start, end)
        self.dir.mkdir()
        (self.dir / 'index').touch()
        (self.dir / 'serial').write_text('1000\n')
        (self.dir / 'conf').write_text(self.CONFIG.format(dir=self.dir))
        self.cert = str(self.dir / 'ca.pem')
        self._openssl('req', '-new', '-newkey', 'ec', '-pkeyopt',
                      'ec_paramgen_curve:P-256', '-nodes', '-subj',
                      '/CN=test authority', '-keyout', 'ca-key.pem', '-out',
                      'request')
        self._openssl('ca', '-batch', '-notext', '-selfsign', '-in', 'request',
                      '-out', 'ca.pem', '-startdate', utc(start - 1),
                      '-enddate', utc(end + 20), '-extensions', 'root')

    def _openssl(self, command, *arguments):
        subprocess.run(['openssl', command, '-config', str(self.dir / 'conf'),
                        *arguments], cwd=self.dir, check=True,
                       capture_output=True, stdin=subprocess.DEVNULL)

    def issue(self, name, sans=None, start=None, end=None, usage=None,
              more=''):
        """Returns the paths of a certificate and its key."""
        start = self.validity[0] if start is None else start
        end = self.validity[1] if end is None else end
        sans = sans or f'DNS:{name}'
        usage = usage or 'serverAuth, clientAuth'
        base = re.sub(r'[^\w.-]', '_', f'{name}.{time.monotonic_ns()}')
        cert, key = self.dir / f'{base}.pem', self.dir / f'{base}-key.pem'
        extensions = self.dir / f'{base}.ext'
        extensions.write_text(
            f'subjectAltName = {sans}\nextendedKeyUsage = {usage}\n'
            'basicConstraints = critical, CA:FALSE\n'
            'keyUsage = critical, digitalSignature\n'
            f'authorityKeyIdentifier = keyid\n{more}\n')
        self._openssl('req', '-new', '-newkey', 'ec', '-pkeyopt',
                      'ec_paramgen_curve:P-256', '-nodes', '-subj',
                      '/CN=somebody', '-keyout', str(key), '-out', 'request')
        self._openssl('ca', '-batch', '-notext', '-in', 'request', '-out',
                      str(cert), '-startdate', utc(start), '-enddate',
                      utc(end), '-extfile', str(extensions))
        return str(cert), str(key)

    def revoke(self, cert):
        self._openssl('ca', '-revoke', cert)

    def crl(self, path):
        self._openssl('ca', '-gencrl', '-out', str(path))
        return str(path)


class Lines:
    """Collects the lines of a pipe and lets others wait for them."""
    def __init__(self, pipe):
        self.lines, self.is_ended = [], False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(pipe,),
                                       daemon=True)
        self.thread.start()

    def _read(self, pipe):
        with pipe:
            for line in pipe:
                with self.changed:
                    self.lines.append(line.decode('utf-8', 'replace')
                                      .rstrip('\n'))
                    self.changed.notify_all()
        with self.changed:
            self.is_ended = True
            self.changed.notify_all()

    def wait(self, pattern, start=0, timeout=None):
        """Returns the first match from line `start` on, or None."""
        deadline = time.monotonic() + (timeout or PATIENCE_S)
        with self.changed:
            while True:
                while start < len(self.lines):
                    match = re.search(pattern, self.lines[start])
                    if match:
                        return match
                    start += 1
                left = deadline - time.monotonic()
                if self.is_ended or left <= 0:
                    return None
                self.changed.wait(left)


class Process:
    """A program with its lines."""
    def __init__(self, arguments, stdin=subprocess.DEVNULL):
        self.arguments = arguments
        self.process = subprocess.Popen(
            arguments, stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.out = Lines(self.process.stdout)
        self.err = Lines(self.process.stderr)

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=None):
        """Returns the exit status, after all output was read."""
        status = self.process.wait(timeout or PATIENCE_S)
        self.out.thread.join(PATIENCE_S)
        self.err.thread.join(PATIENCE_S)
        return status

    def kill(self):
        if self.is_running():
            self.process.kill()
        if self.process.stdin:
            try:
                self.process.stdin.close()
            except OSError:
                pass
        return self.wait()

    def need(self, pattern, start=0, timeout=None):
        """Waits for a line of stdout; raises if it does not come."""
        match = self.out.wait(pattern, start, timeout)
        if match is None:
            raise AssertionError(
                f'no line {pattern!r} from {self.arguments[0]}; status '
                f'{self.process.poll()}; last lines {self.out.lines[-5:]}; '
                f'errors {self.err.lines[-10:]}')
        return match


class Agent(Process):
    """uidagent or agent.py, fed through a pipe."""
    def __init__(self, *arguments):
        super().__init__(*arguments, stdin=subprocess.PIPE)

    def say(self, *lines):
        text = ''.join(line + '\n' for line in lines)
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def acked(self):
        """The last acknowledged serial so far."""
        with self.out.changed:
            return next((int(line.split()[1])
                         for line in reversed(self.out.lines)
                         if line.startswith('acked ')), 0)

    def wait_acked(self, serial, timeout=None):
        deadline = time.monotonic() + (timeout or PATIENCE_S)
        while self.acked() < serial:
            with self.out.changed:
                if self.out.is_ended or time.monotonic() > deadline:
                    raise AssertionError(
                        f'acked {self.acked()}, not {serial}; '
                        f'{self.err.lines[-5:]}')
                self.out.changed.wait(0.05)

    def end(self, timeout=None):
        """Closes its input and returns the exit status."""
        self.process.stdin.close()
        return self.wait(timeout)

    def rejected(self):
        """The pairs of line and code that were refused."""
        return [tuple(line.split()[1:3]) for line in self.out.lines
                if line.startswith('rejected ')]


class Receiver(Process):
    def __init__(self, arguments):
        super().__init__(arguments)
        self.ports = []

    def wait_ready(self):
        self.need('^ready$')
        self.ports = [int(line.rpartition(':')[2]) for line in self.out.lines
                      if line.startswith('listening ')]
        return self

    @property
    def port(self):
        return self.ports[0]

    def status(self):
        """Returns the counters, and those of each agent by its name."""
        start = len(self.out.lines)
        self.signal(signal.SIGUSR1)
        self.need('^receiver ', start)
        counters, agents = {}, {}
        for line in self.out.lines[start:]:
            kind, *words = line.split()
            values = dict(word.split('=', 1) for word in words if '=' in word)
            if kind == 'agent':
                agents[words[0]] = values
            elif kind == 'receiver':
                counters = {key: int(value) for key, value in values.items()}
        return counters, agents

    def reload(self):
        """Returns whether all was taken."""
        start = len(self.out.lines)
        self.signal(signal.SIGHUP)
        return self.need('^reload', start).string == 'reloaded'

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()


class Lookup(Process):
    """One uidlookup that answers many questions."""
    def __init__(self, table):
        super().__init__([program('uidlookup'), '--table', table, '--json',
                          '-'], stdin=subprocess.PIPE)

    def user(self, address):
        start = len(self.out.lines)
        self.process.stdin.write(f'{address}\n'.encode())
        self.process.stdin.flush()
        return json.loads(self.need('^', start).string)['user']


class Stage:
    """A directory with an authority, and what runs in it."""
    AGENTS = f'{AGENT} 0.0.0.0/0 ::/0\n'

    def __init__(self, **validity):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='uidrecv-test.'))
        self.processes = []
        self.authority = Authority(self.dir / 'authority', **validity)
        self.server = self.authority.issue(RECEIVER)
        self.client = self.authority.issue(AGENT)
        self.agents = self.dir / 'agents'
        self.agents.write_text(self.AGENTS)
        self.store = self.dir / 'store'
        self.table = str(self.store / 'table')

    def close(self):
        """Ends everything. A receiver must end well, without leaks."""
        wrong = []
        for process in self.processes:
            if isinstance(process, Receiver) and process.is_running():
                process.signal(signal.SIGCONT)
                process.signal(signal.SIGTERM)
                try:
                    status = process.wait()
                except subprocess.TimeoutExpired:
                    status = 'none'
                if status != 0:
                    wrong.append(f'uidrecvd ended with status {status}')
            process.kill()
            wrong += [line for line in process.err.lines
                      if 'Sanitizer' in line or 'runtime error' in line]
        shutil.rmtree(self.dir)
        if wrong:
            raise AssertionError('\n'.join(wrong))

    def keep(self, process):
        self.processes.append(process)
        return process

    def receiver_arguments(self, listen=('127.0.0.1:0',), ca=None, crl=None,
                           more=('-v',)):
        cert, key = self.server
        arguments = [program('uidrecvd'), '--store', str(self.store),
                     '--cert', cert, '--key', key, '--ca',
                     ca or self.authority.cert, '--agents', str(self.agents)]
        for address in listen:
            arguments += ['--listen', address]
        if crl:
            arguments += ['--crl', crl]
        return arguments + list(more)

    def start_receiver(self, **options):
        receiver = self.keep(Receiver(self.receiver_arguments(**options)))
        return receiver.wait_ready()

    def agent_arguments(self, kind, port, client=None, more=()):
        cert, key = client or self.client
        # Without a snapshot the serials are those of the records.
        command = ([program('uidagent'), '-v'] if kind == 'uidagent' else
                   [sys.executable, '-B', str(EXAMPLES / 'agent.py'),
                    '--no-snapshot'])
        return command + ['--connect', f'127.0.0.1:{port}', '--name', RECEIVER,
                          '--cert', cert, '--key', key, '--ca',
                          self.authority.cert, *more]

    def start_agent(self, kind, port, client=None, more=()):
        """Starts an agent that reads the line language."""
        if kind == 'agent.py':
            more = (*more, '--lines', '-')
        return self.keep(Agent(self.agent_arguments(kind, port, client, more)))

    def start_lookup(self):
        return self.keep(Lookup(self.table))

    def everybody(self):
        """Returns {address: user} of the whole table."""
        done = subprocess.run(
            [program('uidlookup'), '--table', self.table, '--all', '--json'],
            capture_output=True, check=True, timeout=PATIENCE_S)
        found = map(json.loads, done.stdout.splitlines())
        return {answer['address']: answer['user'] for answer in found}


class Peer:
    """A connection by hand: what a wrong agent could do."""
    def __init__(self, stage, port, client=None, alpn='uidrecv/1',
                 version=ssl.TLSVersion.TLSv1_3, has_certificate=True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(stage.authority.cert)
        context.minimum_version = context.maximum_version = version
        if has_certificate:
            context.load_cert_chain(*(client or stage.client))
        if alpn:
            context.set_alpn_protocols([alpn])
        raw = socket.create_connection(('127.0.0.1', port), PATIENCE_S)
        try:
            self.socket = context.wrap_socket(raw)
        except BaseException:
            raw.close()
            raise
        self.reader, self.serial = uidrecv1.FrameReader(), 0
        self.reader.limit = uidrecv1.FRAME_MAX

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, frame):
        self.socket.sendall(frame if isinstance(frame, bytes)
                            else frame.encode())

    def next(self):
        """The next message as (name, serial, fields), or None at the end."""
        while True:
            frame = self.reader.next()
            if frame is not None:
                return (uidrecv1.MESSAGE_NAMES[frame.kind], frame.serial,
                        uidrecv1.decode_message(frame)[1])
            data = self.socket.recv(65536)
            if not data:
                return None
            self.reader.feed(data)

    def hello(self, session=1, **changes):
        now = time.time_ns() // 1000
        fields = dict(VERSIONS=(1, 1), ROLE=uidrecv1.SOURCE, SESSION=session,
                      REPLAY=(1, 0), ACKED=0, HOLD_RANGE=(3, 300),
                      FRAME_MAX=65536, CLOCK=(now, 0, 0))
        return uidrecv1.encode_message('HELLO', **{**fields, **changes})

    def open(self, session=1):
        """Says HELLO and waits for READY."""
        assert self.next()[0] == 'HELLO'
        self.send(self.hello(session))
        name, _, fields = self.next()
        assert name == 'READY', name
        self.serial = fields['DURABLE']
        return self

    def update(self, *records, **changes):
        """The frame of the next UPDATE."""
        self.serial += 1
        fields = dict(AS_OF=time.time_ns() // 1000)
        frame = uidrecv1.encode_message('UPDATE', self.serial, records,
                                        **{**fields, **changes})
        return frame


class StageTest(unittest.TestCase):
    """A test with a stage of its own."""
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)
