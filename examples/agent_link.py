"""What agent.py and ts_agent.py share: a receiver, its session and the
connection to it, certificates, the clock, and what command lines have alike.
"""
import argparse
import contextlib
import ipaddress
import os
import ssl
import sys
import time

from agent_claims import NEVER
from agent_input import BadInput
from uidrecv1 import ALPN, BYE_SHUTDOWN


def source_clock():
    """The clock of section 6: near UTC at start, never set, never asleep."""
    base = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return lambda: (time.clock_gettime_ns(time.CLOCK_BOOTTIME) + base) // 1000


def has_name(certificate, name):
    """Whether a verified certificate has the name, exactly."""
    names = certificate.get('subjectAltName', ())
    return ('URI', name) in names or name.lower() in (
        value.lower() for kind, value in names if kind == 'DNS')


def has_address(certificate, text):
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(text)
        return any(kind == 'IP Address'
                   and ipaddress.ip_address(value.strip()) == address
                   for kind, value in certificate.get('subjectAltName', ()))
    return False


class Link:
    """A receiver: its session, and the connection that it has or not. What is
    derived says how it comes to one (`seek`), what an open session needs
    (`serve`), what follows when one `failed`, and when all is said
    (`is_finished`)."""
    def __init__(self, agent, name, session):
        self.agent, self.clock, self.name = agent, agent.clock, name
        self.session, self.socket = session, None

    def move(self, now):
        """Does what can be done without waiting. Returns whether bytes are
        left to send."""
        if self.socket is None:
            self.seek(now)
            return False
        session = self.session
        try:
            alive = self._receive()
            session.tick(self.clock())
            if session.state == 'open':
                self.serve()
            if session.state == 'open' and self.is_finished():
                session.bye(BYE_SHUTDOWN, 'nothing more to say')
            waiting = self._send()
        except OSError as error:
            self.failed(error)
            return False
        if alive and session.state != 'closed':
            return waiting
        if not self.is_finished():
            note(session.reason or 'the connection was lost')
        self.disconnect()
        return False

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

    def disconnect(self):
        """Sends what is left and close_notify; never waits long."""
        session = self.session
        if self.socket is not None:
            with contextlib.suppress(OSError, ValueError):
                self.socket.settimeout(1)
                self.socket.sendall(session.out)
                self.socket.unwrap()
            self.socket.close()
        self.socket, session.state = None, 'closed'
        session.out.clear()


def tls_context(side, options):
    """Raises BadInput that says which file is wrong."""
    context = ssl.SSLContext(side)
    context.check_hostname = False        # has_name is stricter
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    load_credentials(context, options)
    return context


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
    print(f'{os.path.basename(sys.argv[0])}: {text}', file=sys.stderr,
          flush=True)


def host_and_port(text):
    host, _, port = text.rpartition(':')
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(
            f'{text}: write HOST:PORT or [IPV6]:PORT, such as '
            'firewall.example:5007')
    return host.strip('[]'), int(port)


def lifetime(text):
    if not text.isdecimal() or not 1 <= int(text) < NEVER:
        raise argparse.ArgumentTypeError(f'{text}: give seconds, at least 1')
    return int(text)


def seconds(text):
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < 1e9:
            return float(text)
    raise argparse.ArgumentTypeError(f'{text}: give seconds, 0 or more')
