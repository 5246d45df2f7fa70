"""The session of a source: its side of the state tables of doc/protocol.md.

Bytes and times in, bytes and reports out. It knows no socket and no clock, and
numbers, keeps, sends and sends again what is submitted to it.
"""
import collections
import dataclasses
import secrets

from uidrecv1 import (
    BAD_MESSAGE, BAD_SERIAL, BAD_STATE, BAD_VERSION, BYE_HOLD_TIME,
    BYE_NO_COMMON_VERSION, BYE_SAME_ROLE, BYE_SHUTDOWN, EARLY_FRAME_MAX,
    FRAME_MAX, GAP, MESSAGE_NAMES, PORTS, REFRESH_ALL, REJECT_NAMES,
    RESYNC_NAMES, SINK, SNAPSHOT, SOURCE, VERSION, FrameReader, ProtocolError,
    System, decode_message, encode_message)

HOLD_RANGE = (3, 300)
EARLY_HOLD_US = 10_000_000
NEEDS = {'SNAPSHOT BEGIN': SNAPSHOT, 'SNAPSHOT END': SNAPSHOT,
         'REFRESH ALL': REFRESH_ALL, 'TS CONFIG': PORTS}


@dataclasses.dataclass
class Said:
    """What was said, or will be, under one serial. Sent again as it is."""
    name: str
    as_of: int = None
    records: list = ()
    count: int = None
    system: System = None
    refused: set = dataclasses.field(default_factory=set)

    def encode(self, serial, acked):
        more = self.system.fields() if self.system else {}
        return encode_message(self.name, serial, self.records, **more,
                              AS_OF=self.as_of, COUNT=self.count, ACKED=acked)

    def parts(self):
        """What may be refused, by its index."""
        return [self.system] if self.system else self.records

    def taken(self):
        return [part for n, part in enumerate(self.parts())
                if n not in self.refused]

    def needs(self):
        """The capabilities of the receiver that it needs."""
        has_ports = any(record.ports for record in self.records)
        return NEEDS.get(self.name, 0) | (PORTS if has_ports else 0)


class Session:
    """Bytes and times in; bytes (`out`), reports and a state out. It outlives
    connections: `connected` begins a new one. `report` gets lines of text;
    `on_refused` a record or System and its code, and says whether that settles
    it; `on_acked` what was acknowledged and not refused. A Terminal Server
    agent says a System first of all, and again before each snapshot."""
    def __init__(self, report, batch=500, on_refused=lambda *_: False,
                 on_acked=lambda _: None, software='agent.py'):
        self.report, self.batch, self.on_refused = report, batch, on_refused
        self.on_acked, self.software = on_acked, software
        self.pending = collections.deque()    # Said, without a serial yet
        self.waiting = 0          # the records in it
        self.updates = {}         # serial: Said, not acknowledged
        self.refused = self.capabilities = 0
        self.state, self.reason, self.final = 'closed', '', None
        self.opened = False       # READY came on this connection
        self.is_multi_user = False            # it has said a System
        self.resync = None        # the code with which a snapshot was wanted
        self.out, self.frame_max = bytearray(), EARLY_FRAME_MAX
        self._new_session()

    def _new_session(self):
        self.session_id = secrets.randbits(64) or 1
        self.serial = self.acked = self.maps = 0
        self.in_snapshot = self.is_whole = False  # of what is said or pending

    def connected(self, now):
        """To be called with the time at which the connection began."""
        self.reader, self.out = FrameReader(), bytearray()
        self.state, self.reason, self.opened = 'wait-hello', '', False
        self.peer_clock, self.hold_us = (0, now), EARLY_HOLD_US
        self.heard = self.sent = now
        self.next, self.reported, self.window = self.acked + 1, self.acked, 0

    def submit(self, records, now):
        """Says records, as soon as there is a connection and room."""
        self.maps += sum(record.op == 'MAP' for record in records)
        self.waiting += len(records)
        for at in range(0, len(records), self.batch):
            self.pending.append(
                Said('UPDATE', now, records[at:at + self.batch]))
        self._send_said(now)

    def say_system(self, system, now):
        """Only after the first HELLO, and if `takes(PORTS)`."""
        self.is_multi_user = True
        self.pending.append(Said('TS CONFIG', system=system))
        self._send_said(now)

    def snapshot_begin(self, now):
        """What is submitted until the end is all that we say. Only after the
        first HELLO, and if `takes(SNAPSHOT)`."""
        self.pending.append(Said('SNAPSHOT BEGIN'))
        self.maps, self.in_snapshot, self.is_whole = 0, True, False
        self._send_said(now)

    def snapshot_end(self, now):
        self.pending.append(Said('SNAPSHOT END', count=self.maps))
        self.in_snapshot, self.is_whole = False, True
        self._send_said(now)

    def refresh_all(self, count, now):
        """Only if `can_refresh_all()`."""
        self.pending.append(Said('REFRESH ALL', now, count=count))
        self._send_said(now)

    def takes(self, capability):
        """Whether the receiver of the last HELLO announced it."""
        return bool(self.capabilities & capability)

    def can_refresh_all(self):
        return self.takes(REFRESH_ALL) and self.is_whole

    def is_idle(self):
        """Whether all is said and acknowledged."""
        return not (self.pending or self.updates or self.in_snapshot)

    def discard(self):
        """Forgets what never had a serial. What is said next is a snapshot."""
        self.pending.clear()
        self.waiting, self.in_snapshot, self.is_whole = 0, False, False

    def feed(self, data, now):
        self.reader.feed(data)
        try:
            while self.state != 'closed':
                frame = self.reader.next()
                if frame is None:
                    break
                self._receive(frame, now)
                if self.state == 'open':
                    self.heard = now      # before it, all has to be in time
        except ProtocolError as error:
            self.bye(error.code, error.text, error.quote)

    def tick(self, now):
        """What is due by time. To be called after the socket was drained."""
        if self.state == 'closed':
            return
        if now >= self.heard + self.hold_us:
            self.bye(BYE_HOLD_TIME, 'nothing heard for the hold time')
        elif (self.state == 'open' and not self.out
              and now >= self.sent + self.hold_us // 3):
            self.reported = self.acked
            self._send(encode_message('KEEPALIVE', CLOCK=self._clock(now),
                                      ACKED=self.acked), now)

    def deadline(self):
        if self.state != 'open' or self.out:
            return self.heard + self.hold_us
        return min(self.heard + self.hold_us, self.sent + self.hold_us // 3)

    def bye(self, code, text, quote=b''):
        if self.state != 'closed':
            self._send(encode_message('BYE', REASON=(code, text[:80]),
                                      QUOTE=quote or None), self.sent)
            self._close('we close', code, text)

    def _close(self, what, code, text):
        self.state = 'closed'
        self.reason = f'{what}: {code} {printable(text)}'
        if code >= 300:
            self.final = self.reason

    def _send(self, frame, now):
        self.out += frame.encode()
        self.sent = now

    def _clock(self, now):
        echo, received = self.peer_clock
        return now, echo, now - received if echo else 0

    def _receive(self, frame, now):
        name = MESSAGE_NAMES.get(frame.kind)
        if frame.version != VERSION and (self.state == 'open'
                                         or name not in ('HELLO', 'BYE')):
            raise ProtocolError(BAD_VERSION, f'version {frame.version}',
                                frame.header())
        name, fields = decode_message(frame)
        expected = {'wait-hello': {'HELLO'}, 'wait-ready': {'READY'},
                    'open': {'ACK', 'REJECT', 'KEEPALIVE'}}[self.state]
        if self.state == 'open' and self.takes(SNAPSHOT):
            expected.add('RESYNC')
        if name == 'BYE':
            self._close('the receiver says BYE', *fields['REASON'])
        elif name not in expected:
            raise ProtocolError(BAD_STATE, f'{name} in {self.state}',
                                frame.header())
        else:
            getattr(self, '_on_' + name.lower())(frame, fields, now)

    def _on_hello(self, frame, fields, now):
        low, high = fields['VERSIONS']
        if fields['ROLE'] != SINK:
            raise ProtocolError(BYE_SAME_ROLE, 'we are a source too',
                                frame.header())
        if not low <= VERSION <= high:
            raise ProtocolError(BYE_NO_COMMON_VERSION, 'we speak 1',
                                frame.header())
        self.peer_clock = (fields['CLOCK'][0], now)
        self.frame_max = min(fields['FRAME_MAX'], FRAME_MAX)
        self.capabilities = fields.get('CAPABILITIES', 0)
        self._drop_untaken()
        self._send(encode_message(
            'HELLO', VERSIONS=(VERSION, VERSION), ROLE=SOURCE,
            SESSION=self.session_id, REPLAY=(self.acked + 1, self.serial),
            ACKED=self.acked, HOLD_RANGE=HOLD_RANGE, FRAME_MAX=FRAME_MAX,
            CLOCK=self._clock(now), CAPABILITIES=SNAPSHOT,
            SOFTWARE=self.software), now)
        self.state = 'wait-ready'

    def _drop_untaken(self):
        """Where the receiver no longer takes what we would send again, there
        is only a new session that says the records without it."""
        said = [*self.updates.values(), *self.pending]
        if not any(it.needs() & ~self.capabilities for it in said):
            self.in_snapshot &= self.takes(SNAPSHOT)
            return
        if self.updates:
            self.updates.clear()
            self._new_session()
            self.next = 1
            self.reported = 0
        self.discard()
        if self.is_multi_user:
            self.resync = GAP     # a session begins with the System
            return
        self.pending = collections.deque(
            Said('UPDATE', it.as_of, it.taken())
            for it in said if it.name == 'UPDATE' and it.taken())
        self.waiting = sum(len(it.records) for it in self.pending)

    def _on_ready(self, frame, fields, now):
        hold, durable = fields['HOLD_TIME'], fields['DURABLE']
        if (fields['VERSION'] != VERSION
                or not HOLD_RANGE[0] <= hold <= HOLD_RANGE[1]):
            raise ProtocolError(BAD_MESSAGE, 'READY we cannot keep to',
                                frame.header())
        if durable > self.serial:
            raise ProtocolError(BAD_SERIAL, 'DURABLE of another session',
                                frame.header())
        self.hold_us, self.window = hold * 1_000_000, fields['WINDOW']
        self.reader.limit = FRAME_MAX
        self.state, self.opened = 'open', True
        self._send_said(now)

    def _on_ack(self, frame, fields, now):
        # Of what was sent on this connection; next is the first that was not.
        if not self.acked <= frame.serial < self.next:
            raise ProtocolError(BAD_SERIAL, f'ACK {frame.serial}',
                                frame.header())
        acked = [self.updates.pop(serial)
                 for serial in range(self.acked + 1, frame.serial + 1)]
        self.acked = frame.serial
        self.report(f'acked {self.acked}')
        for said in acked:
            self.on_acked(said.taken())
        self._send_said(now)

    def _on_reject(self, frame, fields, now):
        said = self.updates.get(frame.serial)
        if said is None or frame.serial >= self.next:
            raise ProtocolError(BAD_SERIAL, f'REJECT {frame.serial}',
                                frame.header())
        for index, code, text in fields['REFUSED']:
            if index >= len(said.parts()):
                raise ProtocolError(BAD_MESSAGE, f'record {index}',
                                    frame.header())
            if index in said.refused:
                continue          # told again after a lost connection
            said.refused.add(index)
            record = said.parts()[index]
            if self.on_refused(record, code):
                continue
            self.refused += 1
            self.report(f'rejected {record.line} '
                        f'{REJECT_NAMES.get(code, code)} '
                        f'{printable(text)}'.rstrip())

    def _on_resync(self, frame, fields, now):
        code, text = fields['REASON']
        self.report(f'resync {RESYNC_NAMES.get(code, code)} '
                    f'{printable(text)}'.rstrip())
        to_send = [said for serial, said in self.updates.items()
                   if serial >= self.next] + list(self.pending)
        if not self.in_snapshot and not any(
                said.name == 'SNAPSHOT END' for said in to_send):
            self.resync = code

    def _on_keepalive(self, frame, fields, now):
        if 'ACKED' in fields:
            raise ProtocolError(BAD_MESSAGE, 'ACKED of a sink', frame.header())
        self.peer_clock = (fields['CLOCK'][0], now)

    def _number(self):
        """Gives what is pending first the next serial; False: nothing is."""
        if not self.pending:
            return False
        said, size = self.pending.popleft(), 24   # the TLVs AS_OF and ACKED
        for n, record in enumerate(said.records):
            size += len(record.encode())
            if n and size > self.frame_max:
                self.pending.appendleft(
                    Said(said.name, said.as_of, said.records[n:]))
                said.records = said.records[:n]
                break
        self.serial += 1
        self.updates[self.serial] = said
        self.waiting -= len(said.records)
        return True

    def _send_said(self, now):
        while (self.state == 'open' and self.next <= self.acked + self.window
               and (self.next <= self.serial or self._number())):
            news = self.acked if self.acked != self.reported else None
            frame = self.updates[self.next].encode(self.next, news)
            if len(frame.body) > self.frame_max:
                self.bye(BYE_SHUTDOWN, 'FRAME_MAX became smaller than a frame')
                self.final = self.reason
                return
            self._send(frame, now)
            self.next, self.reported = self.next + 1, self.acked


def printable(text):
    return ''.join(c if c.isprintable() else '?' for c in text)
