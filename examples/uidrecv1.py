"""The protocol `uidrecv/1` of doc/protocol.md for agents in Python.

Bytes to values and back: Frame and FrameReader, encode_tlv and decode_tlvs,
encode_message and decode_message, Record, System. Pure, but for FrameReader's
buffer.
It speaks for both sides. The session of a source is in uidrecv1_source.py.

Copy both files into an agent of your own; agent.py shows how to use them.
"""
import collections
import dataclasses
import functools
import ipaddress
import re
import struct

VERSION = 1
ALPN = 'uidrecv/1'
SOURCE, SINK = 1, 2
EARLY_FRAME_MAX = 4096            # before READY
FRAME_MAX = 65536                 # what we accept after it
RECORDS_MAX, USER_MAX, SOFTWARE_MAX, TEXT_MAX = 1024, 255, 64, 255
RESERVED_MAX, ALIASES_MAX, PORTS_END = 32, 16, 1 << 16
TIME_MAX = 1 << 62
SNAPSHOT, REFRESH_ALL, PORTS = 1, 2, 4    # bits of CAPABILITIES

MESSAGES = {
    'HELLO': 1, 'READY': 2, 'UPDATE': 3, 'ACK': 4, 'REJECT': 5,
    'KEEPALIVE': 6, 'BYE': 7, 'RESYNC': 8, 'SNAPSHOT BEGIN': 9,
    'SNAPSHOT END': 10, 'REFRESH ALL': 11, 'TS CONFIG': 12}
MESSAGE_NAMES = {number: name for name, number in MESSAGES.items()}
NUMBERED = {'UPDATE', 'ACK', 'REJECT', 'SNAPSHOT BEGIN', 'SNAPSHOT END',
            'REFRESH ALL', 'TS CONFIG'}   # the serial of all others is 0

# name: (type, form of the value). Forms are struct's; '*' is text to the end.
TLVS = {
    'VERSIONS': (0x8001, 'BB'), 'ROLE': (0x8002, 'B'),
    'SESSION': (0x8003, 'Q'), 'REPLAY': (0x8004, 'QQ'),
    'HOLD_RANGE': (0x8005, 'HH'), 'HOLD_TIME': (0x8006, 'H'),
    'FRAME_MAX': (0x8007, 'I'), 'CAPABILITIES': (0x0008, 'Q'),
    'SOFTWARE': (0x0009, '*'), 'CLOCK': (0x800a, 'QQQ'),
    'VERSION': (0x800b, 'B'), 'DURABLE': (0x800c, 'Q'),
    'WINDOW': (0x800d, 'I'), 'ACKED': (0x800f, 'Q'), 'AS_OF': (0x8010, 'Q'),
    'REFUSED': (0x8011, 'IH*'), 'REASON': (0x8012, 'H*'),
    'QUOTE': (0x0013, '16s'), 'COUNT': (0x8014, 'Q'), 'PORTS': (0x8015, 'HI'),
    'BLOCK_SIZE': (0x8016, 'I'), 'RESERVED': (0x8017, 'HI'),
    'ALIAS': (0x8018, 'address'), 'MAP': (0x8020, 'record'),
    'REFRESH': (0x8021, 'record'), 'LOGOUT': (0x8022, 'record'),
    'WITHDRAW': (0x8023, 'record'), 'ADDRESS': (0x8030, 'address'),
    'USER': (0x8031, '*'), 'EVENT_TIME': (0x8032, 'Q'),
    'LIFETIME': (0x8033, 'I'), 'SOURCE': (0x0034, 'B'), 'TOKEN': (0x8035, 'Q')}
TLV_NAMES = {kind: (name, form) for name, (kind, form) in TLVS.items()}

# What stands in a message or record: m must, ? may, * repeats.
SCHEMAS = {
    'HELLO': dict(VERSIONS='m', ROLE='m', HOLD_RANGE='m', FRAME_MAX='m',
                  CLOCK='m', CAPABILITIES='?', SOFTWARE='?', SESSION='?',
                  REPLAY='?', ACKED='?'),
    'READY': dict(VERSION='m', HOLD_TIME='m', DURABLE='m', WINDOW='m'),
    'UPDATE': dict(AS_OF='m', ACKED='?', MAP='*', REFRESH='*', LOGOUT='*',
                   WITHDRAW='*'),
    'ACK': {}, 'REJECT': dict(REFUSED='*'),
    'KEEPALIVE': dict(CLOCK='m', ACKED='?'),
    'BYE': dict(REASON='m', QUOTE='?'), 'RESYNC': dict(REASON='m'),
    'SNAPSHOT BEGIN': dict(ACKED='?'),
    'SNAPSHOT END': dict(COUNT='m', ACKED='?'),
    'REFRESH ALL': dict(AS_OF='m', COUNT='m', ACKED='?'),
    'TS CONFIG': dict(ADDRESS='m', PORTS='m', BLOCK_SIZE='m', RESERVED='*',
                      ALIAS='*', ACKED='?'),
    'MAP': dict(ADDRESS='m', USER='m', EVENT_TIME='?', LIFETIME='?',
                SOURCE='?', TOKEN='?', PORTS='?'),
    'REFRESH': dict(ADDRESS='m', USER='?', LIFETIME='?', PORTS='?'),
    'LOGOUT': dict(ADDRESS='m', USER='?', EVENT_TIME='?', TOKEN='?',
                   PORTS='?'),
    'WITHDRAW': dict(ADDRESS='m', PORTS='?')}

# What no user may have: controls, what turns or breaks a line, and bytes that
# are not UTF-8.
FORBIDDEN = re.compile('[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e'
                       '\u2066-\u2069\ud800-\udfff]')

REJECT_NAMES = dict(enumerate(
    'MALFORMED UNSUPPORTED ADDRESS-INVALID ADDRESS-NOT-ALLOWED USER-INVALID '
    'USER-TOO-LONG DOMAIN-NOT-ALLOWED LIFETIME-NOT-ALLOWED TIME-IN-FUTURE '
    'QUOTA STORE-FULL NOT-FOUND PORTS-INVALID '
    'MULTI-USER-NOT-ALLOWED NOT-MULTI-USER ADDRESS-TAKEN'.split(), 1))
NOT_FOUND = 12
RESYNC_NAMES = dict(enumerate('COUNT NO-SNAPSHOT GAP TIME BUSY'.split(), 1))
GAP = 3
BYE_SHUTDOWN, BYE_HOLD_TIME = 100, 101
(BAD_VERSION, BAD_TYPE, BAD_FLAGS, BAD_LENGTH, BAD_MESSAGE, BAD_STATE,
 BAD_SERIAL) = range(200, 207)
BYE_NO_COMMON_VERSION, BYE_SAME_ROLE, BYE_UNSUPPORTED = 301, 302, 305


class ProtocolError(Exception):
    """The peer broke the protocol; `code` is the BYE that answers it."""
    def __init__(self, code, text, quote=b''):
        super().__init__(text)
        self.code, self.text, self.quote = code, text, quote


class RecordError(Exception):
    """A record that is refused by itself; `code` is that of REJECT."""
    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


@dataclasses.dataclass(frozen=True)
class Frame:
    kind: int
    serial: int = 0
    body: bytes = b''
    version: int = VERSION
    flags: int = 0

    def header(self):
        return struct.pack('>BBHIQ', self.version, self.kind, self.flags,
                           len(self.body), self.serial)

    def encode(self):
        return self.header() + self.body


@dataclasses.dataclass(frozen=True)
class Record:
    op: str                       # MAP, REFRESH, LOGOUT, WITHDRAW
    address: str
    user: str = None              # bytes that are not UTF-8: surrogateescape
    event_time_us: int = None
    lifetime_s: int = None
    source: int = None
    token: int = None
    ports: tuple = None           # (start, count) of a block
    line: int = dataclasses.field(default=0, compare=False)

    def encode(self):
        return encode_tlv(self.op, encode_tlvs(
            ADDRESS=self.address, USER=self.user,
            EVENT_TIME=self.event_time_us, LIFETIME=self.lifetime_s,
            SOURCE=self.source, TOKEN=self.token, PORTS=self.ports))


@dataclasses.dataclass(frozen=True)
class System:
    """What TS CONFIG says. Ports are (start, count)."""
    address: str
    ports: tuple
    block_size: int
    reserved: tuple = ()
    aliases: tuple = ()
    line: int = dataclasses.field(default=0, compare=False)

    def fields(self):
        return dict(ADDRESS=self.address, PORTS=self.ports,
                    BLOCK_SIZE=self.block_size, RESERVED=list(self.reserved),
                    ALIAS=list(self.aliases))

    def cut(self):
        """How it is cut into blocks: of two, alike or not."""
        return self.ports, self.block_size, set(self.reserved)

    def refuses(self, ports):
        """Why the ports are not a block of it, or None."""
        (start, count), (first, size) = ports, self.ports
        if count != self.block_size or (start - first) % count:
            return 'not a block'
        if not first <= start <= first + size - count:
            return 'outside the range'
        if any(start < at + many and at < start + count
               for at, many in self.reserved):
            return 'reserved'
        return None


class FrameReader:
    """Bytes in, frames out. The limit may change between two frames."""
    def __init__(self):
        self.data, self.limit = bytearray(), EARLY_FRAME_MAX

    def feed(self, data):
        self.data += data

    def next(self):
        """Returns the next frame, or None if it needs more bytes."""
        if len(self.data) < 16:
            return None
        header = bytes(self.data[:16])
        version, kind, flags, length, serial = struct.unpack('>BBHIQ', header)
        if version == 0:
            raise ProtocolError(BAD_VERSION, 'version 0', header)
        if flags:
            raise ProtocolError(BAD_FLAGS, f'flags {flags:#x}', header)
        if length > self.limit:
            raise ProtocolError(BAD_LENGTH, f'body of {length} bytes', header)
        if len(self.data) < 16 + length:
            return None
        body = bytes(self.data[16:16 + length])
        del self.data[:16 + length]
        return Frame(kind, serial, body, version, flags)


@functools.lru_cache(1 << 16)
def packed_address(text):
    return ipaddress.ip_address(text).packed


def encode_value(form, value):
    if form == 'record':
        return value
    if form == 'address':
        return packed_address(value)
    values = value if isinstance(value, tuple) else (value,)
    if not form.endswith('*'):
        return struct.pack('>' + form, *values)
    text = values[-1].encode('utf-8', 'surrogateescape')
    return struct.pack('>' + form[:-1], *values[:-1]) + text


def decode_value(form, data):
    """Raises ValueError or struct.error if the length is wrong."""
    if form == 'record':
        return data
    if form == 'address':
        return str(ipaddress.ip_address(data))
    text = ()
    if form.endswith('*'):
        size = struct.calcsize('>' + form[:-1])
        text = (data[size:].decode('utf-8', 'surrogateescape'),)
        form, data = form[:-1], data[:size]
    values = struct.unpack('>' + form, data) + text
    return values[0] if len(values) == 1 else values


def encode_tlv(name, value):
    kind, form = TLVS[name]
    data = encode_value(form, value)
    return struct.pack('>HH', kind, len(data)) + data


def encode_tlvs(**fields):
    """One for each value; of a list for each in it, of None there is none."""
    return b''.join(encode_tlv(name, value) for name, many in fields.items()
                    for value in (many if isinstance(many, list) else [many])
                    if value is not None)


def decode_tlvs(data, schema, malformed, unsupported):
    """Returns [(name, value)]; a name is None where an optional record of a
    later version stands. Raises what the two functions make of a text; what
    is unknown counts only if nothing is malformed."""
    found, unknown, at = [], None, 0
    while at < len(data):
        if at + 4 > len(data):
            raise malformed('half a TLV')
        kind, length = struct.unpack_from('>HH', data, at)
        value = data[at + 4:at + 4 + length]
        at += 4 + length
        if at > len(data):
            raise malformed(f'TLV {kind:#06x} reaches past the end')
        name, form = TLV_NAMES.get(kind, (None, ''))
        if name in schema:
            try:
                found.append((name, decode_value(form, value)))
            except (ValueError, struct.error):
                raise malformed(f'{name} of {length} bytes') from None
        elif 'MAP' in schema and 0x24 <= kind & 0x7fff <= 0x2f:
            found.append((None, kind))
        elif kind & 0x8000:
            unknown = unknown or f'unknown TLV {kind:#06x}'
    counts = collections.Counter(name for name, _ in found)
    for name, mode in schema.items():
        if mode == 'm' and not counts[name]:
            raise malformed(f'{name} is missing')
        if mode != '*' and counts[name] > 1:
            raise malformed(f'{name} stands twice')
    if unknown:
        raise unsupported(unknown)
    return found


def decode_record(op, data):
    """Returns a Record or raises RecordError."""
    fields = dict(decode_tlvs(data, SCHEMAS[op],
                              lambda text: RecordError(1, text),
                              lambda text: RecordError(2, text)))
    user = fields.get('USER')
    if user is not None and (not user or FORBIDDEN.search(user)):
        raise RecordError(5, 'the user is empty or not clean')
    if user and len(user.encode()) > USER_MAX:
        raise RecordError(6, 'the user is too long')
    if fields.get('LIFETIME') == 0:
        raise RecordError(8, 'a lifetime of 0')
    if 'PORTS' in fields and not are_ports(fields['PORTS']):
        raise RecordError(13, 'no ports, or past 65535')
    return Record(op, fields['ADDRESS'], fields.get('USER'),
                  fields.get('EVENT_TIME'), fields.get('LIFETIME'),
                  fields.get('SOURCE'), fields.get('TOKEN'),
                  fields.get('PORTS'))


def decode_update_record(name, value):
    """A Record, the RecordError that refuses it, or None: skipped."""
    if name is None:
        critical = value & 0x8000
        return RecordError(2, f'record {value:#06x}') if critical else None
    try:
        return decode_record(name, value)
    except RecordError as error:
        return error


def encode_message(name, serial=0, records=(), **fields):
    """Returns the frame. Fields are those of encode_tlvs."""
    body = encode_tlvs(**fields) + b''.join(r.encode() for r in records)
    return Frame(MESSAGES[name], serial, body)


def decode_message(frame):
    """Returns (name, fields). What repeats is a list; the records of an UPDATE
    are the list `records`."""
    name = MESSAGE_NAMES.get(frame.kind)
    if name is None:
        raise ProtocolError(BAD_TYPE, f'type {frame.kind}', frame.header())
    unsupported = BYE_UNSUPPORTED if name == 'HELLO' else BAD_MESSAGE
    found = decode_tlvs(
        frame.body, SCHEMAS[name],
        lambda text: ProtocolError(BAD_MESSAGE, text, frame.header()),
        lambda text: ProtocolError(unsupported, text, frame.header()))
    once = {key for key, mode in SCHEMAS[name].items() if mode != '*'}
    fields = {key: value for key, value in found if key in once}
    repeated = [(key, value) for key, value in found if key not in once]
    if name == 'UPDATE':
        fields['records'] = [decode_update_record(*pair) for pair in repeated]
    else:
        fields.update({key: [value for at, value in repeated if at == key]
                       for key in SCHEMAS[name].keys() - once})
    count = len(repeated)
    if (name == 'REJECT' and not count
            or name == 'UPDATE' and not 1 <= count <= RECORDS_MAX):
        raise ProtocolError(BAD_MESSAGE, f'{name} of {count}', frame.header())
    if name == 'HELLO':
        check_role(frame, fields)
    if frame.serial and name not in NUMBERED:
        raise ProtocolError(BAD_MESSAGE, f'{name} with a serial',
                            frame.header())
    for key, value in fields.items():
        if key in RANGES and not RANGES[key](value):
            raise ProtocolError(BAD_MESSAGE, f'{key} out of range',
                                frame.header())
    return name, fields


def are_ports(value):
    return value[1] > 0 and sum(value) <= PORTS_END


def is_short(text, limit=TEXT_MAX):
    return len(text.encode('utf-8', 'surrogateescape')) <= limit


# name: whether a value is in its range; of the others any is.
RANGES = {
    'VERSIONS': lambda value: 1 <= value[0] <= value[1],
    'SESSION': bool,
    'REPLAY': lambda value: 1 <= value[0] <= value[1] + 1,
    'HOLD_RANGE': lambda value: value[0] <= value[1],
    'FRAME_MAX': lambda value: EARLY_FRAME_MAX <= value <= 1 << 20,
    'SOFTWARE': lambda value: is_short(value, SOFTWARE_MAX),
    'CLOCK': lambda value: max(value) <= TIME_MAX,
    'VERSION': bool, 'WINDOW': bool,
    'REFUSED': lambda values: all(is_short(text) for _, _, text in values),
    'PORTS': are_ports, 'BLOCK_SIZE': bool,
    'RESERVED': lambda values: len(values) <= RESERVED_MAX and all(
        map(are_ports, values)),
    'ALIAS': lambda values: len(values) <= ALIASES_MAX,
    'REASON': lambda value: is_short(value[1])}


def check_role(frame, fields):
    """What only the HELLO of a source must have and may have."""
    if fields['ROLE'] not in (SOURCE, SINK):
        raise ProtocolError(BAD_MESSAGE, 'no such role', frame.header())
    for key in 'SESSION', 'REPLAY', 'ACKED':
        if fields['ROLE'] == SOURCE and key not in fields:
            raise ProtocolError(BAD_MESSAGE, f'{key} is missing',
                                frame.header())
        if fields['ROLE'] == SINK and key in fields:
            raise ProtocolError(BYE_UNSUPPORTED, f'{key} of a sink',
                                frame.header())
