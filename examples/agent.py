#!/usr/bin/env python3
"""A User-ID agent in plain Python: tells a firewall who is at which address.

    agent.py --connect HOST:PORT --cert F --key F --ca F [--name NAME]
             [--replay] [--lines] [--batch N] [--timeout S] FILE|-

It reads Windows logon events, one JSON object a line, and speaks the protocol
`uidrecv/1` of doc/protocol.md through uidrecv1.py beside it. It needs Python
3.11 and nothing else. EventRules and parse_line can be used alone.

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

    The event time is `ts`. AS_OF is when the event was read, so lifetimes
    begin then: do not feed an old log without thinking. With --replay all
    events are moved in time so that the last of them is now.

With --lines the input is commands instead; # begins a comment line:
    map ADDRESS USER [lifetime_s=N] [age_ms=N] [token=N]
    refresh ADDRESS [USER] [lifetime_s=N]
    logout ADDRESS [USER] [token=N] [age_ms=N]
    withdraw ADDRESS
USER is percent-encoded. age_ms says how long ago it happened; a negative one
lies in the future. Addresses are sent as they are.

Output: `acked SERIAL` and `rejected LINE CODE-NAME TEXT`, a line each.
Exit: 0 all accepted; 1 some refused, or a signal came before all was
acknowledged; 2 usage or bad input; 3 the receiver refuses us for good, or is
not who it should be, or --timeout seconds were over.
"""
import argparse
import contextlib
import datetime
import hashlib
import ipaddress
import json
import os
import random
import re
import select
import signal
import socket
import ssl
import sys
import tempfile
import time
import urllib.parse

from uidrecv1 import ALPN, BYE_SHUTDOWN, Record, Session

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
        self.logons = {}          # token: address of a logon that can end
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
            address = usable_address(event.get('ip')) or self.logons.get(token)
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
            self._remember(self.logons, token, address)
        return [Record('MAP', address, user, when, source=DIRECTORY_LOG,
                       token=token, line=line)]

    def _logoff(self, when, token, line):
        address = self.logons.pop(token, None)
        if address is None:
            self._remember(self.ended, token, when)
            return []
        return [Record('LOGOUT', address, event_time_us=when, token=token,
                       line=line)]

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


class Refused(Exception):
    """The receiver refuses us for good, or is not who it should be."""


class Stop(Exception):
    """A signal: the operator's, or the clock's."""


SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM}


@contextlib.contextmanager
def interruptible():
    """Signals interrupt us only in here: no frame is ever sent by half."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def source_clock():
    """The clock of section 6: near UTC at start, never set, never asleep."""
    base = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return lambda: (time.clock_gettime_ns(time.CLOCK_BOOTTIME) + base) // 1000


def identity_matches(certificate, name):
    """Whether a verified certificate has the name, exactly."""
    for kind, value in certificate.get('subjectAltName', ()):
        if kind == 'URI' and value == name:
            return True
        if kind == 'DNS' and value.lower() == name.lower():
            return True
        with contextlib.suppress(ValueError):
            if kind == 'IP Address' and (ipaddress.ip_address(value.strip())
                                         == ipaddress.ip_address(name)):
                return True
    return False


def is_final(error):
    """Whether a TLS error is about a certificate or ALPN: section 1."""
    return (isinstance(error, ssl.SSLCertVerificationError)
            or isinstance(error, ssl.SSLError) and re.search(
                'ALERT.*(CERT|UNKNOWN_CA|ACCESS_DENIED|APPLICATION_PROTOCOL)',
                error.reason or '') is not None)


class Agent:
    """Moves bytes between the input, the session and the network."""
    def __init__(self, options):
        self.host, self.port = options.connect
        self.name = options.name or self.host
        self.clock = source_clock()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False    # identity_matches is stricter
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.set_alpn_protocols([ALPN])
        load_credentials(self.context, options)
        self.session = Session(lambda text: print(text, flush=True),
                               options.batch)
        self.input = Input(options.file, options.lines, options.replay,
                           self.clock)
        self.bad_input = self.socket = None

    def run(self):
        """Returns the exit status."""
        pause = 0.5
        try:
            while True:
                try:
                    self._connect()
                    self._talk()
                except Stop:
                    self.session.bye(BYE_SHUTDOWN, 'stopped')
                    raise
                except OSError as error:
                    if is_final(error):
                        raise Refused(f'TLS: {error}') from None
                    note(f'{self.host}: {error}')
                finally:
                    self._disconnect()
                if self.session.final:
                    raise Refused(self.session.final)
                if self._finished():
                    break
                pause = 0.5 if self.session.opened else pause
                with interruptible():
                    time.sleep(random.uniform(0, pause))
                pause = min(pause * 2, 60)
        except Refused as error:
            note(error)
            return 3
        except Stop as stop:
            if stop.args[0] == signal.SIGALRM:
                note('the time is over')
                return 3
            return 1 if self.session.updates or self.session.refused else 0
        if self.bad_input:
            note(self.bad_input)
            return 2
        return 1 if self.session.refused else 0

    def _connect(self):
        with interruptible():
            raw = socket.create_connection((self.host, self.port), 10)
            began = self.clock()
            try:
                self.socket = self.context.wrap_socket(
                    raw, server_hostname=self.host)
            except BaseException:
                raw.close()
                raise
        if not identity_matches(self.socket.getpeercert(), self.name):
            raise Refused(f'the receiver is not {self.name}: give the name '
                          'in its certificate with --name')
        if self.socket.selected_alpn_protocol() != ALPN:
            raise Refused(f'the receiver does not speak {ALPN}')
        self.socket.setblocking(False)
        self.session.connected(began)

    def _finished(self):
        return self.input.eof and not self.session.updates

    def _talk(self):
        """Until the connection ends."""
        session = self.session
        while True:
            alive = self._receive()
            session.tick(self.clock())
            if session.state == 'open' and self._finished():
                session.bye(BYE_SHUTDOWN, 'nothing more to say')
            waiting = self._send()
            if not alive or session.state == 'closed':
                if not self._finished():
                    note(session.reason or 'the connection was lost')
                return
            # Half a window beyond what may be sent, then the input waits.
            thirsty = (session.state == 'open' and not self.input.eof and
                       len(session.updates) < session.window * 3 // 2 + 1)
            timeout = max(0, session.deadline() - self.clock()) / 1e6
            with interruptible():
                readable, _, _ = select.select(
                    [self.socket] + [self.input.fd] * thirsty,
                    [self.socket] * waiting, [], timeout)
            if self.input.fd in readable:
                self._read_input()

    def _read_input(self):
        records = []
        try:
            for record in self.input.records():
                records.append(record)
        except BadInput as error:
            self.bad_input, self.input.eof = error, True
        self.session.submit(records, self.clock())

    def _receive(self):
        """Drains the socket. Returns False at its end."""
        try:
            while data := self.socket.recv(1 << 16):
                self.session.feed(data, self.clock())
            return False
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True

    def _send(self):
        """Returns whether something is left to send."""
        out = self.session.out
        try:
            while out:
                del out[:self.socket.send(out[:1 << 14])]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (BrokenPipeError, ConnectionResetError):
            out.clear()           # what it said before is still to be read
        return bool(out)

    def _disconnect(self):
        """Sends what is left and close_notify; never waits long."""
        if self.socket is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self.socket.settimeout(1)
            self.socket.sendall(self.session.out)
            self.socket.unwrap()
        self.socket.close()
        self.socket, self.session.state = None, 'closed'
        self.session.out.clear()


def load_credentials(context, options):
    """Raises BadInput that says which file it is: ssl does not."""
    for path in options.cert, options.key, options.ca:
        try:
            open(path, 'rb').close()
        except OSError as error:
            raise BadInput(f'{path}: cannot be opened: {error.strerror}; '
                           'check the path and who may read it') from None
    try:
        what = f'{options.cert}, {options.key}: no certificate and its key'
        context.load_cert_chain(options.cert, options.key)
        what = f'{options.ca}: no certificates of authorities'
        context.load_verify_locations(options.ca)
    except ssl.SSLError as error:
        raise BadInput(f'{what} in PEM: {error.reason or error}') from None


def note(text):
    print(f'agent.py: {text}', file=sys.stderr, flush=True)


def host_and_port(text):
    host, _, port = text.rpartition(':')
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(
            f'{text}: write HOST:PORT or [IPV6]:PORT, such as '
            'firewall.example:5007')
    return host.strip('[]'), int(port)


def batch_size(text):
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(
            f'{text}: give a number from 1 to 1000')
    return int(text)


def parse_options(arguments):
    parser = argparse.ArgumentParser(
        prog='agent.py', description='Tells a firewall who is at which '
        'address, by Windows logon events or by commands.',
        epilog='Exit: 0 all accepted, 1 some refused or stopped before all '
        'was acknowledged, 2 wrong command line or input, 3 the receiver '
        'refuses us for good, or --timeout is over. The head of this file '
        'says what becomes of events, and what the commands are.')
    parser.add_argument('--connect', required=True, type=host_and_port,
                        metavar='HOST:PORT',
                        help='the receiver; [IPV6]:PORT')
    parser.add_argument('--cert', required=True, metavar='FILE',
                        help='this agent\'s certificate (PEM)')
    parser.add_argument('--key', required=True, metavar='FILE',
                        help='its key (PEM)')
    parser.add_argument('--ca', required=True, metavar='FILE',
                        help='who signs receivers (PEM)')
    parser.add_argument('--name', help='URI or DNS name in the receiver\'s '
                        'certificate; default: HOST')
    parser.add_argument('--replay', action='store_true',
                        help='move the events so that the last one is now')
    parser.add_argument('--lines', action='store_true',
                        help='the input is commands, not events')
    parser.add_argument('--batch', type=batch_size, default=500, metavar='N',
                        help='records per UPDATE, at most 1000')
    parser.add_argument('--timeout', type=float, default=0, metavar='S',
                        help='give up after so many seconds')
    parser.add_argument('file', metavar='FILE', help='the input; - is standard input')
    options = parser.parse_args(arguments)
    if options.replay and options.lines:
        parser.error('--replay is for events')
    return options


def main(arguments=None):
    options = parse_options(arguments)

    def stop(number, _frame):
        raise Stop(number)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        signal.signal(number, stop)
    signal.setitimer(signal.ITIMER_REAL, options.timeout)
    try:
        agent = Agent(options)
    except (OSError, BadInput) as error:
        note(error)
        return 2
    except Stop:
        return 1
    return agent.run()


if __name__ == '__main__':
    sys.exit(main())
