"""A sink for the tests of sources, written from doc/protocol.md alone.

Sink        the sink's side without a socket: bytes in, bytes out. It outlives
            connections, remembers all it heard, and notes in `wrong` whatever
            a source must not do.
FakeSink    the same behind TLS, in a thread, with the certificates of a Stage.
FakeDialer  the same, but it connects, to an agent that listens.

It judges no record and has no table: what is refused, acknowledged or asked
for again is what the test says.
"""
import contextlib
import select
import socket
import ssl
import threading
import time

import harness
import uidrecv1 as wire
from agent_link import has_name

NEEDS = {'SNAPSHOT BEGIN': wire.SNAPSHOT, 'SNAPSHOT END': wire.SNAPSHOT,
         'REFRESH ALL': wire.REFRESH_ALL, 'TS CONFIG': wire.PORTS}
SAID = {'UPDATE', *NEEDS}


class Sink:
    def __init__(self, capabilities=wire.SNAPSHOT | wire.REFRESH_ALL,
                 window=256, frame_max=65536, hold=30, acks=True):
        self.capabilities, self.window = capabilities, window
        self.frame_max, self.hold = frame_max, hold
        self.acks = acks          # whether all is acknowledged at once
        self.refuse = None        # function of a record: a code, or nothing
        self.heard, self.hellos, self.wrong = [], [], []
        self.session, self.state, self.out = None, 'closed', bytearray()
        self.said, self.acked, self.last_as_of = {}, 0, 0
        self.frame = None         # the last one that was heard

    def connected(self):
        self.reader, self.out = wire.FrameReader(), bytearray()
        self.reader.limit = self.frame_max
        self.state, self.bye_code = 'wait-hello', None
        self.send('HELLO', VERSIONS=(1, 1), ROLE=wire.SINK,
                  HOLD_RANGE=(3, self.hold), FRAME_MAX=self.frame_max,
                  CLOCK=(time.time_ns() // 1000, 0, 0),
                  CAPABILITIES=self.capabilities)

    @property
    def durable(self):
        return max(self.said, default=0)

    def send(self, name, serial=0, **fields):
        self.out += wire.encode_message(name, serial, **fields).encode()

    def ack(self, serial=None):
        self.acked = self.durable if serial is None else serial
        self.send('ACK', self.acked)

    def reject(self, serial, *refused):
        self.send('REJECT', serial, REFUSED=list(refused))

    def resync(self, code=1, text=''):
        self.send('RESYNC', REASON=(code, text))

    def feed(self, data):
        self.reader.feed(data)
        while self.state != 'closed':
            try:
                frame = self.reader.next()
                if frame is None:
                    return
                self.frame = frame
                name, fields = wire.decode_message(frame)
            except wire.ProtocolError as error:
                self.wrong.append(f'{error.code} {error.text}')
                self.state = 'closed'
                return
            self.heard.append((name, frame.serial, fields))
            self._take(name, frame.serial, fields)

    def _check(self, is_right, text):
        if not is_right:
            self.wrong.append(text)

    def _take(self, name, serial, fields):
        if name == 'BYE':
            self.state, self.bye_code = 'closed', fields['REASON'][0]
        elif self.state == 'wait-hello':
            self._check(name == 'HELLO', f'{name} before HELLO')
            if name == 'HELLO':
                self._hello(fields)
        elif name in SAID:
            self._said(name, serial, fields)
        elif name == 'KEEPALIVE':
            self._acked(fields)
        else:
            self.wrong.append(f'{name} of a source')

    def _hello(self, fields):
        self.hellos.append(fields)
        if fields['SESSION'] != self.session:
            self.session, self.said, self.acked = fields['SESSION'], {}, 0
            self.last_as_of = 0
        first, last = fields['REPLAY']
        self._check(fields['ACKED'] <= self.acked, 'ACKED of no ACK')
        self._check(last >= self.durable, 'REPLAY forgets serials')
        self.next, self.reported = first, fields['ACKED']
        self._check(first <= self.durable + 1, 'REPLAY with a gap')
        self.send('READY', VERSION=1, HOLD_TIME=self.hold,
                  DURABLE=self.durable, WINDOW=self.window)
        self.state = 'open'

    def _acked(self, fields):
        if 'ACKED' in fields:
            self._check(self.reported <= fields['ACKED'] <= self.acked,
                        f'ACKED {fields["ACKED"]} after {self.reported}')
            self.reported = fields['ACKED']

    def _said(self, name, serial, fields):
        self._acked(fields)
        self._check(name == 'UPDATE' or self.capabilities & NEEDS[name],
                    f'{name} was not announced')
        self._check(serial == self.next, f'serial {serial}, not {self.next}')
        self._check(serial <= self.reported + self.window,
                    f'serial {serial} beyond the window')
        self.next = serial + 1
        what = name, {key: value for key, value in fields.items()
                      if key != 'ACKED'}
        if serial in self.said:
            self._check(self.said[serial] == what,
                        f'serial {serial} is another when sent again')
        else:
            self._check(fields.get('AS_OF', self.last_as_of)
                        >= self.last_as_of, 'AS_OF goes down')
            self.last_as_of = fields.get('AS_OF', self.last_as_of)
            self.said[serial] = what
            self._check_new(serial, *what)
        refused = [(index, self.refuse(part), '') for index, part in
                   enumerate(parts_of(name, fields))
                   if self.refuse and self.refuse(part)]
        if refused:
            self.reject(serial, *refused)
        if self.acks:
            self.ack(serial)

    def _check_new(self, serial, name, fields):
        for record in fields.get('records', ()):
            self._check(not record.ports or self.capabilities & wire.PORTS,
                        'PORTS was not announced')
        begin, end = self.snapshot(serial - 1)
        if name == 'SNAPSHOT END':
            count = sum(record.op == 'MAP' for at in self.said
                        if begin and begin < at < serial
                        for record in self.said[at][1].get('records', ()))
            self._check(begin > end, 'END without BEGIN')
            self._check(fields['COUNT'] == count,
                        f'COUNT {fields["COUNT"]}, not {count}')
        if name == 'REFRESH ALL':
            self._check(begin < end, 'REFRESH ALL without a whole snapshot')

    def snapshot(self, upto=None):
        """The serials of the last BEGIN and the last END; 0: none."""
        last = {'SNAPSHOT BEGIN': 0, 'SNAPSHOT END': 0}
        for at, (name, _) in self.said.items():
            if name in last and (upto is None or at <= upto):
                last[name] = max(last[name], at)
        return tuple(last.values())

    def stream(self):
        """What was said, in the order of its serials: (op or name, what)."""
        found = []
        for serial in sorted(self.said):
            name, fields = self.said[serial]
            if name == 'UPDATE':
                found += [(record.op, record.address, record.user)
                          for record in fields['records']]
            else:
                found.append((name, fields.get('COUNT')))
        return found


def parts_of(name, fields):
    """What may be refused of a message, by its index."""
    if name != 'TS CONFIG':
        return fields.get('records', ())
    return [wire.System(fields['ADDRESS'], fields['PORTS'],
                        fields['BLOCK_SIZE'], tuple(fields['RESERVED']),
                        tuple(fields['ALIAS']))]


class FakeSink:
    """Listens until `close`. All that is the model's, such as `sink.heard`, is
    to be looked at within `with fake.changed`, or after `wait`."""
    SIDE = ssl.PROTOCOL_TLS_SERVER

    def __init__(self, stage, port=0, certificate=None, model=Sink, **options):
        self.sink, self.changed = model(**options), threading.Condition()
        self.context = ssl.SSLContext(self.SIDE)
        self.context.check_hostname = False
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.load_cert_chain(*(certificate or stage.server))
        self.context.load_verify_locations(stage.authority.cert)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.set_alpn_protocols([wire.ALPN])
        self.port, self.connections = port, 0
        self.cut_in = self.cut_out = None     # bytes that still pass
        self.is_dropping = False
        self.wake, self.bell = socket.socketpair()
        self.listener = self.thread = None
        self.come_back()

    def come_back(self):
        """Listens, at the port of before."""
        self._bind()
        self.is_there = True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _bind(self):
        self.listener = socket.create_server(('127.0.0.1', self.port))
        self.port = self.listener.getsockname()[1]

    def go_away(self):
        """Drops the connection, and takes no other."""
        self.is_there = False
        self.bell.send(b'.')
        self.thread.join(harness.PATIENCE_S)

    def close(self):
        if self.is_there:
            self.go_away()
        self.wake.close()
        self.bell.close()

    def do(self, command, *arguments, **fields):
        """Calls a method of the model, such as 'ack', and sends what it says.
        'drop' drops the connection."""
        with self.changed:
            if command == 'drop':
                self.is_dropping = True
            else:
                getattr(self.sink, command)(*arguments, **fields)
        self.bell.send(b'.')

    def cut_soon(self, rand):
        """Cuts after a few more bytes of one direction. A cut that is still to
        come is kept, so bytes enough always lead to one."""
        with self.changed:
            if self.cut_in is None and self.cut_out is None:
                if rand.random() < 0.5:
                    self.cut_in = rand.randrange(1, 400)
                else:
                    self.cut_out = rand.randrange(1, 100)

    def wait(self, is_so, timeout=None):
        """Until the function of the model gives something; returns it."""
        with self.changed:
            if not self.changed.wait_for(lambda: is_so(self.sink),
                                         timeout or harness.PATIENCE_S):
                raise AssertionError(
                    f'waited in vain: {self.sink.state}, heard '
                    f'{self.sink.heard[-5:]}, wrong {self.sink.wrong}')
            return is_so(self.sink)

    def _run(self):
        with self.listener:
            while self.is_there:
                ready, _, _ = select.select([self.listener, self.wake], [], [])
                if self.wake in ready:
                    self.wake.recv(4096)
                if self.listener in ready and self.is_there:
                    raw, _ = self.listener.accept()
                    self._serve(raw)

    def _serve(self, raw):
        raw.settimeout(harness.PATIENCE_S)
        is_server = self.SIDE == ssl.PROTOCOL_TLS_SERVER
        with contextlib.suppress(OSError), raw, self.context.wrap_socket(
                raw, server_side=is_server) as tls:
            self._talk(tls)
        with self.changed:
            self.sink.state = 'closed'
            self.changed.notify_all()

    def _talk(self, tls):
        tls.setblocking(False)
        with self.changed:
            self.connections += 1
            self.is_dropping = False
            self.sink.connected()
        while self.is_there and not self.is_dropping:
            if not self._send(tls) or not self._receive(tls):
                return
            if self.sink.state == 'closed' and not self.sink.out:
                return
            self._wait_for(tls)

    def _wait_for(self, tls):
        if not tls.pending():
            ready, _, _ = select.select(
                [tls, self.wake], [tls] if self.sink.out else [], [])
            if self.wake in ready:
                self.wake.recv(4096)

    def _send(self, tls):
        """Returns False where the connection is to be cut."""
        with self.changed:
            out = self.sink.out
            part = out if self.cut_out is None else out[:self.cut_out]
            with contextlib.suppress(ssl.SSLWantWriteError,
                                     ssl.SSLWantReadError):
                if part:
                    sent = tls.send(part)
                    del out[:sent]
                    if self.cut_out is not None:
                        self.cut_out -= sent
            if self.cut_out == 0:
                self.cut_out = None
                return False
        return True

    def _receive(self, tls):
        with contextlib.suppress(ssl.SSLWantReadError):
            data = tls.recv(65536)
            with self.changed:
                if not data:
                    return False
                if self.cut_in is not None:
                    data = data[:self.cut_in]
                    self.cut_in -= len(data)
                self.sink.feed(data)
                self.changed.notify_all()
                if self.cut_in == 0:
                    self.cut_in = None
                    return False
        return True


class FakeDialer(FakeSink):
    """Connects to a port until `close`, and at once again after each end. Who
    is there must have the name."""
    SIDE = ssl.PROTOCOL_TLS_CLIENT
    NAME = harness.AGENT

    def _bind(self):
        """There is nothing to listen at."""

    def _run(self):
        while self.is_there:
            with contextlib.suppress(OSError):
                self._serve(socket.create_connection(
                    ('127.0.0.1', self.port), harness.PATIENCE_S))
            ready, _, _ = select.select([self.wake], [], [], 0.02)
            if ready:
                self.wake.recv(4096)

    def _talk(self, tls):
        with self.changed:
            self.sink._check(has_name(tls.getpeercert(), self.NAME),
                             'the agent has another name')
            self.sink._check(tls.selected_alpn_protocol() == wire.ALPN,
                             'the agent speaks something else')
        super()._talk(tls)
