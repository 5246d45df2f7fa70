"""What agent.py reads: Windows logon events or commands, which become records.

EventRules and parse_line can be used alone.

From events to records
    An event has: id, ts (ISO 8601), ip, user, domain, type (logon type), sid,
    logonid, host. What is missing is null.

    4624 logon   maps, of the types 2 interactive, 3 network, 7 unlock,
                 10 remote interactive, 11 cached interactive, 12 cached
                 remote interactive, 13 cached unlock. Others say nothing
                 about who sits at the address: 0 system, 4 batch, 5 service,
                 8 clear text (web and mail servers log many people on),
                 9 new credentials (the person stays the former).
    4768, 4769, 4770 (Kerberos ticket granted, used, renewed) map. No token.
    4776 (NTLM) names a workstation but no address: ignored.
    4778 session reconnected maps, and moves the logon to its new address.
    4634, 4647 logoff end what their logon said: LOGOUT with the TOKEN of
                 the logon and no user, at the address the logon came from.
                 Only of logons of the types 2, 10, 11 and 12: the logoff of a
                 network logon or an unlock follows in milliseconds and means
                 that a connection closed, not that the person left. One
                 whose logon is unknown is ignored, but remembered: if the
                 logon is read later, it is not told.
    4779 session disconnected ends what that logon said. Without logon id it
                 is ignored.

    Token    64-bit BLAKE2b of the host in lower case, a zero byte and the
             logon id in decimal: equal ids on two hosts differ.
    User     first label of the domain in upper case, a backslash, the
             account in lower case. What follows an `@` in the account is the
             domain. theshire.local\\pgustavo, THESHIRE\\pgustavo and
             pgustavo@THESHIRE.LOCAL are all THESHIRE\\pgustavo. (Wrong where
             the NetBIOS name is not the first label: change `user_name`.)
    Dropped  users: machine accounts (ending in $), service principals (with
             a /), ANONYMOUS LOGON, SYSTEM, LOCAL and NETWORK SERVICE, DWM-n,
             UMFD-n, names of NT AUTHORITY and its like, any SID but S-1-5-21
             and S-1-12-1, over 255 bytes. Addresses: none, `-`, LOCAL,
             loopback, link-local, unspecified, multicast, reserved.
             ::ffff:a.b.c.d becomes a.b.c.d.

    Still on  is who a logon of the types 2, 10, 11 or 12 (or 4778) maps, until
             its logoff or disconnection is read. Nobody else is kept alive.

    The event time is `ts`. AS_OF is when the event was read, so lifetimes
    begin then: do not feed an old log without thinking. With --replay all
    events are moved in time so that the last of them is now.

The line language (--lines); # begins a comment line:
    map ADDRESS USER [lifetime_s=N] [age_ms=N] [token=N]
    refresh ADDRESS [USER] [lifetime_s=N]
    logout ADDRESS [USER] [token=N] [age_ms=N]
    withdraw ADDRESS
USER is percent-encoded. age_ms says how long ago it happened; a negative one
lies in the future. Addresses are sent as they are.
"""
import contextlib
import datetime
import hashlib
import ipaddress
import json
import os
import re
import signal
import tempfile
import urllib.parse

from uidrecv1 import Record

DIRECTORY_LOG = 1                 # of the TLV SOURCE
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

# --- Windows events to records.

UNUSABLE = [ipaddress.ip_network(text) for text in (
    '0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4',
    '::/96', 'fe80::/10', 'ff00::/8')]
NOBODY = re.compile(r'anonymous logon|system|(local|network) service|'
                    r'(dwm|umfd)-\d+|.*\$|.*/.*|-?', re.IGNORECASE | re.DOTALL)
NO_DOMAIN = {'NT AUTHORITY', 'NT SERVICE', 'WINDOW MANAGER', 'IIS APPPOOL',
             'FONT DRIVER HOST'}
PEOPLE_SIDS = ('S-1-5-21-', 'S-1-12-1-')
MAPPING_TYPES = {2, 3, 7, 10, 11, 12, 13}
ENDING_TYPES = {2, 10, 11, 12}


def usable_address(text):
    """Returns the address in its one form, or None."""
    try:
        address = ipaddress.ip_address((text or '').strip())
    except ValueError:
        return None
    address = getattr(address, 'ipv4_mapped', None) or address
    return None if any(address in net for net in UNUSABLE) else str(address)


def user_name(event):
    """Returns the user in the one form DOMAIN\\account, or None: nobody."""
    account, at, realm = (event.get('user') or '').strip().rpartition('@')
    domain = realm if at else (event.get('domain') or '').strip()
    account = (account if at else realm).lower()
    sid = event.get('sid')
    if (NOBODY.fullmatch(account) or domain.upper() in NO_DOMAIN
            or sid and not sid.startswith(PEOPLE_SIDS)):
        return None
    label = '' if domain == '-' else domain.split('.')[0].upper()
    name = f'{label}\\{account}' if label else account
    try:
        return name if len(name.encode()) <= 255 else None
    except UnicodeEncodeError:
        return None


def event_time_us(event):
    moment = datetime.datetime.fromisoformat(event['ts'])
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def logon_token(host, logon_id):
    name = (host or '').lower().encode('utf-8', 'replace')
    digest = hashlib.blake2b(b'%s\0%d' % (name, logon_id), digest_size=8)
    return int.from_bytes(digest.digest(), 'big')


class EventRules:
    """Events in, records out; the docstring of this file says by what rules.
    It remembers the logons that are open, up to `limit`."""
    def __init__(self, shift_us=0, limit=100_000):
        self.shift_us, self.limit = shift_us, limit
        self.logons = {}          # token: (address, user) of one that can end
        self.ended = {}           # token: time of a logoff without its logon

    def records(self, event, line=0):
        number, logon_id = int(event['id']), event.get('logonid')
        when = event_time_us(event) + self.shift_us
        if isinstance(logon_id, str):
            logon_id = int(logon_id, 0)
        token = (None if logon_id is None
                 else logon_token(event.get('host'), logon_id))
        if number == 4624:
            kind = int(event.get('type') or 0)
            if kind in MAPPING_TYPES:
                return self._map(event, when, token, line,
                                 kind in ENDING_TYPES)
        elif number == 4778:
            return self._map(event, when, token, line, True)
        elif number in (4768, 4769, 4770):
            return self._map(event, when, None, line, False)
        elif number in (4634, 4647) and token is not None:
            return self._logoff(when, token, line)
        elif number == 4779 and token is not None:
            known, _ = self.logons.get(token, (None, None))
            if known:
                self.logons[token] = known, None
            address = usable_address(event.get('ip')) or known
            if address:
                return [Record('LOGOUT', address, event_time_us=when,
                               token=token, line=line)]
        return []

    def _map(self, event, when, token, line, can_end):
        address, user = usable_address(event.get('ip')), user_name(event)
        if not address or not user:
            return []
        if can_end and token is not None:
            if when <= self.ended.get(token, when - 1):
                return []
            self._remember(self.logons, token, (address, user))
        return [Record('MAP', address, user, when, source=DIRECTORY_LOG,
                       token=token, line=line)]

    def _logoff(self, when, token, line):
        address, _ = self.logons.pop(token, (None, None))
        if address is None:
            self._remember(self.ended, token, when)
            return []
        return [Record('LOGOUT', address, event_time_us=when, token=token,
                       line=line)]

    def still_on(self):
        """The pairs (address, user) of whom a logon is open and connected."""
        return set(self.logons.values())

    def _remember(self, memory, token, what):
        memory.pop(token, None)
        memory[token] = what
        if len(memory) > self.limit:
            del memory[next(iter(memory))]


# --- The line language.

LINE_OPTIONS = {'map': {'lifetime_s', 'age_ms', 'token'},
                'refresh': {'lifetime_s'}, 'logout': {'token', 'age_ms'},
                'withdraw': set()}
LINE_USER = {'map': (1, 1), 'refresh': (0, 1), 'logout': (0, 1),
             'withdraw': (0, 0)}  # least and most


def parse_line(text, now_us, line=0):
    """Returns the records of a line, 0 or 1; raises ValueError."""
    words = text.split()
    if not words or words[0].startswith('#'):
        return []
    verb, rest = words[0], words[1:]
    if verb not in LINE_OPTIONS:
        raise ValueError(f'unknown command {verb}')
    options = dict(word.split('=', 1) for word in rest if '=' in word)
    plain = [word for word in rest if '=' not in word]
    least, most = LINE_USER[verb]
    if not 1 + least <= len(plain) <= 1 + most:
        raise ValueError(f'wrong number of words after {verb}')
    if (not options.keys() <= LINE_OPTIONS[verb]
            or len(plain) + len(options) != len(rest)):
        raise ValueError(f'unknown or repeated option of {verb}')
    values = {key: int(value, 0) for key, value in options.items()}
    if not (0 <= values.get('lifetime_s', 0) < 1 << 32
            and 0 <= values.get('token', 0) < 1 << 64):
        raise ValueError('a number is out of range')
    when = now_us - values['age_ms'] * 1000 if 'age_ms' in values else None
    if when is not None and not 0 <= when < 1 << 64:
        raise ValueError('age_ms is out of range')
    address = ipaddress.ip_address(plain[0])
    if getattr(address, 'scope_id', None):
        raise ValueError('an address with a zone')
    user = None
    if len(plain) > 1:
        user = urllib.parse.unquote(plain[1], errors='surrogateescape')
        if len(user.encode('utf-8', 'surrogateescape')) > 3000:
            raise ValueError('the user does not fit into a frame')
    return [Record(verb.upper(), plain[0], user, when,
                   values.get('lifetime_s'), token=values.get('token'),
                   line=line)]


# --- Input and output.

class BadInput(Exception):
    """A line of the input cannot be read."""


SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM}


@contextlib.contextmanager
def interruptible():
    """Signals interrupt us only in here: no frame is ever sent by half."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


class Input:
    """Reads a file or a pipe as it comes. `records` gives what was read."""
    def __init__(self, path, lines, replay, clock):
        self.fd = 0 if path == '-' else os.open(path, os.O_RDONLY)
        self.lines, self.clock = lines, clock
        self.line, self.rest, self.eof = 0, b'', False
        self.rules = EventRules()
        if replay:
            self.rules.shift_us = self._shift()

    def _shift(self):
        spool = tempfile.TemporaryFile()
        with interruptible():
            while data := os.read(self.fd, 1 << 16):
                spool.write(data)
        spool.seek(0)
        times = [event_time_us(self._event(number, text))
                 for number, text in enumerate(spool, 1) if text.strip()]
        spool.seek(0)
        os.dup2(spool.fileno(), self.fd)
        return self.clock() - max(times, default=0)

    @staticmethod
    def _event(number, text):
        try:
            event = json.loads(text)
            event_time_us(event), int(event['id'])
            return event
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadInput(f'line {number}: not an event: {error!r}') from None

    def records(self):
        """Reads once; may wait. Raises BadInput after what was good."""
        data = os.read(self.fd, 1 << 16)
        self.eof = not data
        *texts, self.rest = (self.rest + data).split(b'\n')
        if self.eof and self.rest:
            texts, self.rest = texts + [self.rest], b''
        for text in texts:
            self.line += 1
            yield from self._parse(text)

    def _parse(self, text):
        if not self.lines:
            if not text.strip():
                return []
            try:
                return self.rules.records(self._event(self.line, text),
                                          self.line)
            except (ValueError, TypeError, AttributeError) as error:
                raise BadInput(f'line {self.line}: {error}') from None
        try:
            return parse_line(text.decode('utf-8', 'surrogateescape'),
                              self.clock(), self.line)
        except ValueError as error:
            raise BadInput(f'line {self.line}: {error}') from None
