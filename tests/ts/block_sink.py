"""A sink for a Terminal Server agent, written from doc/protocol.md alone: that
of fake_sink.py, with a system and with blocks. It notes in `wrong` whatever is
against section 8.
"""
import struct

import uidrecv1 as wire
from fake_sink import Sink, parts_of

ALL = wire.SNAPSHOT | wire.REFRESH_ALL | wire.PORTS


def without_acked(body):
    """The TLVs of a message, but for ACKED."""
    found, at = [], 0
    while at < len(body):
        kind, length = struct.unpack_from('>HH', body, at)
        if kind != wire.TLVS['ACKED'][0]:
            found.append(body[at:at + 4 + length])
        at += 4 + length
    return b''.join(found)


class BlockSink(Sink):
    """`system` and `users` are what it knows: {first port: user}. Like a store
    they outlive the session of the source."""
    def __init__(self, capabilities=ALL, **options):
        super().__init__(capabilities, **options)
        self.system, self.users, self.stated = None, {}, set()
        self.is_whole = False     # a snapshot of this session
        self.bodies, self.refreshes = {}, 0
        self.is_told = False      # TS CONFIG since the last BEGIN

    def _hello(self, fields):
        if fields['SESSION'] != self.session:
            self.bodies, self.is_told, self.is_whole = {}, False, False
        super()._hello(fields)
        self._check(fields.get('CAPABILITIES') == wire.SNAPSHOT,
                    'it does not take RESYNC')

    def _said(self, name, serial, fields):
        body = without_acked(self.frame.body)
        self._check(self.bodies.setdefault(serial, body) == body,
                    f'serial {serial} has other bytes when sent again')
        super()._said(name, serial, fields)

    def _check_new(self, serial, name, fields):
        super()._check_new(serial, name, fields)
        if name == 'TS CONFIG':
            self._take_system(*parts_of(name, fields))
        elif name == 'SNAPSHOT BEGIN':
            self._check(self.is_told, 'BEGIN without TS CONFIG before it')
            self.is_told, self.stated = False, set()
        elif name == 'SNAPSHOT END':
            self.users = {start: user for start, user in self.users.items()
                          if start in self.stated}
            self.is_whole = True
        elif name == 'REFRESH ALL':
            self.refreshes += 1
            count = len(self.stated & self.users.keys())
            self._check(self.is_whole and fields['COUNT'] == count,
                        f'REFRESH ALL of {fields["COUNT"]}, not {count}')
        for record in fields.get('records', ()):
            self._take_record(record)

    def _take_system(self, system):
        self._check(system.block_size <= system.ports[1],
                    'no room for a block')
        self.is_told = True
        if self.refuse and self.refuse(system):
            return
        if self.system and self.system.cut() != system.cut():
            self.users = {}
        self.system = system

    def _take_record(self, record):
        self._check(isinstance(record, wire.Record), f'{record!r}')
        self._check(record.ports, f'a {record.op} without PORTS')
        self._check(any(name == 'TS CONFIG' for name, _ in
                        self.said.values()), 'a block before TS CONFIG')
        if self.refuse and self.refuse(record):
            return
        self._check(self.system and record.address in (
            self.system.address, *self.system.aliases),
            f'{record.address} is not of the system')
        why = self.system and self.system.refuses(record.ports)
        self._check(not why, f'{record.ports}: {why}')
        start, _ = record.ports
        if record.op == 'MAP':
            self._check(record.lifetime_s, 'a MAP without LIFETIME')
            self.users[start] = record.user
            self.stated.add(start)
        elif record.op == 'WITHDRAW':
            self.users.pop(start, None)
        else:
            self.wrong.append(f'{record.op} of a block')

    def lose(self):
        """Forgets all that was acknowledged, as from an old backup."""
        self.said, self.acked, self.bodies = {}, 0, {}
        self.system, self.users, self.stated = None, {}, set()
        self.is_whole = self.is_told = False
