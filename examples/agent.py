#!/usr/bin/env python3
"""A User-ID agent in plain Python: tells firewalls who is at which address.

    agent.py --connect HOST:PORT [...] --cert F --key F --ca F [--name NAME]
             [--replay] [--lines] [--batch N] [--lifetime S]
             [--refresh-every S] [--no-snapshot] [--settle S] [--queue N]
             [--timeout S] FILE|-

It reads Windows logon events, one JSON object a line, or with --lines
commands; agent_input.py says what becomes of them. It speaks the protocol
`uidrecv/1` of doc/protocol.md through uidrecv1.py and uidrecv1_source.py. All
of them lie beside it. It needs Python 3.11 and nothing else.

It keeps what it says (agent_claims.py), and says it to each receiver by itself, with a session
and a queue of its own: one may be away while the other goes on.

    Snapshot    On the first connection what is read until the input has run
                dry for --settle seconds (or has, 30 times that later) is a
                snapshot: the receiver drops what a former run said and this
                one does not. --no-snapshot leaves that out, for commands by
                hand. RESYNC is answered with a snapshot of what we say.
    Away        Input is read on while a receiver is away, once it has been
                there. If more than --queue records wait for it, they are
                thrown away, and a snapshot follows instead: what was logged
                out while it was away is then dropped, but leaves no marker. A
                receiver that takes no snapshots gets the mappings alone, and
                what is gone ends with its lifetime; if it is the only one,
                the input waits instead.
    Refresh     Every --refresh-every seconds what is still logged on is kept
                alive: by REFRESH ALL if that is all that we say and a whole
                snapshot was said in this session, by REFRESH otherwise. What
                is refused as not found is mapped again. All other mappings
                end with their lifetimes. Of events, --lifetime is 2700 and
                the refresh a third of it; with --lines neither is, unless
                given, and then all that is said and lives is kept alive. A
                logoff that nobody logged keeps its mapping alive:
                --refresh-every 0 never refreshes.

Output: `acked SERIAL`, `rejected LINE CODE-NAME TEXT` and `resync CODE-NAME
TEXT`, a line each; with several receivers HOST:PORT stands before it.
Exit: 0 all accepted; 1 some refused, or a signal came before all was
acknowledged; 2 usage or bad input; 3 a receiver refuses us for good, or is
not who it should be, or --timeout seconds were over.
"""
import argparse
import contextlib
import dataclasses
import os
import queue
import random
import re
import select
import signal
import socket
import ssl
import sys
import threading

from agent_claims import Claims
from agent_input import SIGNALS, BadInput, Input, interruptible
from agent_link import (
    Link, has_address, has_name, host_and_port, lifetime, note, seconds,
    source_clock, tls_context)
from uidrecv1 import ALPN, BYE_SHUTDOWN, NOT_FOUND, SNAPSHOT, Record
from uidrecv1_source import Session

LIFETIME_S = 2700
PATIENCE = 30                     # times --settle


class Refused(Exception):
    """The receiver refuses us for good, or is not who it should be."""


class Stop(Exception):
    """A signal: the operator's, or the clock's."""


# --- Receivers.

def is_final(error):
    """Whether a TLS error is about a certificate or ALPN: section 1."""
    return (isinstance(error, ssl.SSLCertVerificationError)
            or isinstance(error, ssl.SSLError) and re.search(
                'ALERT.*(CERT|UNKNOWN_CA|ACCESS_DENIED|APPLICATION_PROTOCOL)',
                error.reason or '') is not None)


class Receiver(Link):
    """A receiver that we connect to."""
    def __init__(self, agent, address, name, report):
        super().__init__(agent, name or address[0], Session(
            report, agent.options.batch, self._on_refused))
        self.host, self.port = address
        self.is_connecting = self.is_done = False
        self.due, self.pause = 0, 0.5     # when to connect; the longest pause
        self.has_opened = False
        self.wants_snapshot = not agent.options.no_snapshot
        self.is_behind = True     # it has to be told everything
        self.refresh_due = None   # since when

    def seek(self, now):
        if not self.is_connecting and not self.is_done and now >= self.due:
            self.is_connecting = True
            threading.Thread(target=self._connect, daemon=True).start()

    def serve(self):
        session, now = self.session, self.clock()
        if (self.is_behind or session.resync is not None
                or self.wants_snapshot and session.takes(SNAPSHOT)):
            self._tell_all(now)
        if session.in_snapshot and self.agent.is_caught_up:
            session.snapshot_end(now)
        late = self.refresh_due and now > self.refresh_due + (
            self.agent.refresh_us // 2)
        if self.refresh_due and (session.is_idle() or late):
            self.refresh_due = None
            self._refresh(now)

    def _tell_all(self, now):
        session = self.session
        if session.takes(SNAPSHOT) and (self.has_opened
                                        or self.wants_snapshot):
            self.wants_snapshot = False
            session.snapshot_begin(now)
        self.has_opened, self.is_behind, session.resync = True, False, None
        self.refresh_due = None
        self.agent.look_who_is_on()
        session.submit([self._stated(claim, now) for claim in self.agent.claims
                        if claim.lives(now) or self.agent.is_kept(claim)], now)

    def _stated(self, claim, now):
        """The MAP that says it again, of what is not kept without new life."""
        claim.refused.discard(self)
        if claim.end_us is None or self.agent.is_kept(claim):
            claim.short.discard(self)
            claim.renew(now, claim.record.lifetime_s)
            return claim.record
        claim.short.add(self)
        return dataclasses.replace(
            claim.record, lifetime_s=-((now - claim.end_us) // 1_000_000))

    def _refresh(self, now):
        claims, session = list(self.agent.claims), self.session
        kept = [claim for claim in claims if self.agent.is_kept(claim)]
        told = [claim for claim in kept if self not in claim.refused]
        if (session.can_refresh_all() and len(kept) == len(claims) and told
                and not any(self in claim.short for claim in kept)):
            session.refresh_all(len(told), now)
            return
        for claim in told:
            claim.short.discard(self)
        session.submit([Record('REFRESH', claim.record.address,
                               claim.record.user,
                               lifetime_s=claim.record.lifetime_s)
                        for claim in told], now)

    def _on_refused(self, record, code):
        """Whether that is settled: what was to be kept alive is gone."""
        claim = self.agent.claims.of(record)
        if record.op == 'REFRESH' and not record.line and code == NOT_FOUND:
            if claim:
                now = self.clock()
                self.session.submit([self._stated(claim, now)], now)
            return True
        if claim and record.op == 'MAP' and record.event_time_us in (
                None, claim.record.event_time_us):
            claim.refused.add(self)
        return False

    def submit(self, records, now):
        if self.is_behind or self.is_done:
            return                # it will hear it with all the rest
        self.session.submit(records, now)
        limit = self.agent.options.queue + len(self.agent.claims)
        if self.session.state != 'open' and self.session.waiting > limit:
            note(f'{self.host}: away for too long')
            self.session.discard()
            self.is_behind = True

    def has_room(self):
        """Half a window beyond what may be sent, then the input waits."""
        return len(self.session.pending) < self.session.window // 2 + 1

    def is_finished(self):
        return (self.agent.input.eof and not self.is_behind
                and self.session.is_idle())

    def _connect(self):
        """In a thread of its own: names and handshakes take their time."""
        try:
            raw = socket.create_connection((self.host, self.port), 10)
            began = self.clock()
            try:
                tls = self.agent.context.wrap_socket(raw,
                                                     server_hostname=self.host)
            except BaseException:
                raw.close()
                raise
            result = tls, began
        except OSError as error:
            result = error
        self.agent.arrive(self, result)

    def connected(self, tls, began):
        self.socket = tls
        peer = tls.getpeercert()
        if not has_name(peer, self.name) and not has_address(peer, self.name):
            raise Refused(f'the receiver is not {self.name}: give the name '
                          'in its certificate with --name')
        if tls.selected_alpn_protocol() != ALPN:
            raise Refused(f'the receiver does not speak {ALPN}')
        tls.setblocking(False)
        self.session.connected(began)

    def failed(self, error):
        self.disconnect()
        if is_final(error):
            raise Refused(f'TLS: {error}')
        note(f'{self.host}: {error}')

    def disconnect(self):
        super().disconnect()
        session = self.session
        if session.final:
            raise Refused(session.final)
        self.is_done = self.is_finished()
        if session.opened:
            self.pause = 0.5
        self.due = self.clock() + int(random.uniform(0, self.pause) * 1e6)
        self.pause, session.opened = min(self.pause * 2, 60), False


# --- The program.

class Agent:
    """Moves bytes between the input, the sessions and the network."""
    def __init__(self, options):
        self.options, self.clock = options, source_clock()
        self.context = tls_context(ssl.PROTOCOL_TLS_CLIENT, options)
        self.input = Input(options.file, options.lines, options.replay,
                           self.clock)
        self.claims, self.still_on = Claims(), set()
        names = options.name or [None]
        names = names * len(options.connect) if len(names) == 1 else names
        self.links = [
            Receiver(self, address, name, reporter(
                address if len(options.connect) > 1 else None))
            for address, name in zip(options.connect, names)]
        self.is_caught_up = self.is_refused = False
        self.bad_input = self.started = self.last_read = None
        self.refresh_us = int(options.refresh_every * 1e6)
        self.refresh_at = self.clock() + self.refresh_us
        self.arrived, (self.wake, self.bell) = queue.SimpleQueue(), os.pipe()

    def run(self):
        """Returns the exit status."""
        try:
            while not all(link.is_done for link in self.links):
                self._step()
        except Stop as stop:
            for link in self.links:
                link.session.bye(BYE_SHUTDOWN, 'stopped')
                with contextlib.suppress(Refused):
                    link.disconnect()
            if stop.args[0] == signal.SIGALRM:
                note('the time is over')
                return 3
            return 1 if any(self._owes(link) for link in self.links) else 0
        if self.is_refused:
            return 3
        if self.bad_input:
            note(self.bad_input)
            return 2
        return 1 if any(link.session.refused for link in self.links) else 0

    def _owes(self, link):
        return (link.session.refused or not link.session.is_idle()
                or link.is_behind and len(self.claims))

    def _step(self):
        now, waiting = self.clock(), []
        self._mind_time(now)
        for link in self.links:
            with self._minding(link):
                if link.move(now):
                    waiting.append(link.socket)
        if all(link.is_done for link in self.links):
            return
        is_thirsty = self._is_thirsty()
        sockets = [link.socket for link in self.links if link.socket]
        timeout = max(0, self._deadline(is_thirsty) - self.clock()) / 1e6
        with interruptible():
            readable, _, _ = select.select(
                [*sockets, self.wake, *[self.input.fd] * is_thirsty], waiting,
                [], timeout)
        if self.wake in readable:
            self._take_arrived()
        if self.input.fd in readable:
            self._read_input()
        elif is_thirsty and not self.is_caught_up:
            now, settle = self.clock(), self.options.settle * 1e6
            self.is_caught_up = (now >= self.last_read + settle
                                 or now >= self.started + settle * PATIENCE)

    @contextlib.contextmanager
    def _minding(self, link):
        """A receiver that refuses us is out; the others go on."""
        try:
            yield
        except Refused as error:
            note(error)
            self.is_refused = link.is_done = True
            link.session.final = None
            with contextlib.suppress(Refused):
                link.disconnect()
            link.is_done = True

    def arrive(self, link, result):
        """Called by the threads that connect."""
        self.arrived.put((link, result))
        os.write(self.bell, b'.')

    def _take_arrived(self):
        os.read(self.wake, 1)
        link, result = self.arrived.get()
        link.is_connecting = False
        with self._minding(link):
            if isinstance(result, OSError):
                link.failed(result)
            else:
                link.connected(*result)

    def _mind_time(self, now):
        if self.refresh_us and now >= self.refresh_at:
            self.refresh_at = now + self.refresh_us
            self.look_who_is_on()
            self.claims.forget(now, self.is_kept)
            for claim in filter(self.is_kept, self.claims):
                claim.renew(now, claim.record.lifetime_s)
            for link in self.links:
                link.refresh_due = link.refresh_due or now

    def look_who_is_on(self):
        self.still_on = self.input.rules.still_on() if self.refresh_us else ()

    def is_kept(self, claim):
        """Whether it is kept alive; by what was so when we last looked."""
        if self.options.lines:
            return self.refresh_us > 0 and claim.lives(self.clock())
        return (claim.record.address, claim.record.user) in self.still_on

    def _is_thirsty(self):
        there = [link for link in self.links if link.session.state == 'open']
        away = [link for link in self.links
                if link.has_opened and not link.is_done and link not in there]
        if self.input.eof:
            return False
        if there:
            return all(link.has_room() for link in there)
        return bool(away) and all(
            link.session.takes(SNAPSHOT)
            or link.session.waiting < self.options.queue for link in away)

    def _deadline(self, is_thirsty):
        times = [link.session.deadline() if link.socket else link.due
                 for link in self.links
                 if not link.is_connecting and not link.is_done]
        if self.refresh_us:
            times.append(self.refresh_at)
        if is_thirsty and not self.is_caught_up:
            if self.started is None:
                self.started = self.last_read = self.clock()
            times.append(self.last_read + int(self.options.settle * 1e6))
        return min(times, default=self.clock() + 10_000_000)

    def _read_input(self):
        records, lifetime = [], self.options.lifetime
        try:
            for record in self.input.records():
                if record.op == 'MAP' and record.lifetime_s is None:
                    record = dataclasses.replace(record, lifetime_s=lifetime)
                records.append(record)
        except BadInput as error:
            self.bad_input, self.input.eof = error, True
        now = self.last_read = self.clock()
        for record in records:
            self.claims.say(record, now)
        self.is_caught_up |= self.input.eof
        for link in self.links:
            link.submit(records, now)


def reporter(address):
    prefix = '{}:{} '.format(*address) if address else ''
    return lambda text: print(prefix + text, flush=True)


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
        'was acknowledged, 2 wrong command line or input, 3 a receiver '
        'refuses us for good, or --timeout is over. The heads of this file '
        'and of agent_input.py beside it say the rest.')
    parser.add_argument('--connect', required=True, type=host_and_port,
                        metavar='HOST:PORT', action='append',
                        help='the receiver; [IPV6]:PORT; once for each')
    parser.add_argument('--cert', required=True, metavar='FILE',
                        help='this agent\'s certificate (PEM)')
    parser.add_argument('--key', required=True, metavar='FILE',
                        help='its key (PEM)')
    parser.add_argument('--ca', required=True, metavar='FILE',
                        help='who signs receivers (PEM)')
    parser.add_argument('--name', action='append', help='URI or DNS name in '
                        'the receiver\'s certificate; once, or once for each '
                        '--connect, in their order; default: HOST')
    parser.add_argument('--replay', action='store_true',
                        help='move the events so that the last one is now')
    parser.add_argument('--lines', action='store_true',
                        help='the input is commands, not events')
    parser.add_argument('--batch', type=batch_size, default=500, metavar='N',
                        help='records per UPDATE, at most 1000')
    parser.add_argument('--lifetime', type=lifetime, metavar='S',
                        help='of mappings that come without; default: '
                        f'{LIFETIME_S}, with --lines the receiver\'s')
    parser.add_argument('--refresh-every', type=seconds, metavar='S',
                        help='keep alive what is still logged on; 0: never; '
                        'default: a third of --lifetime, with --lines 0')
    parser.add_argument('--no-snapshot', action='store_true',
                        help='leave what a former run said')
    parser.add_argument('--settle', type=seconds, default=1, metavar='S',
                        help='the first snapshot ends when nothing was read '
                        'for so long')
    parser.add_argument('--queue', type=int, default=100_000, metavar='N',
                        help='records that wait for a receiver that is away')
    parser.add_argument('--timeout', type=float, default=0, metavar='S',
                        help='give up after so many seconds')
    parser.add_argument('file', metavar='FILE', help='the input; - is standard input')
    options = parser.parse_args(arguments)
    if options.replay and options.lines:
        parser.error('--replay is for events')
    if options.name and len(options.name) not in (1, len(options.connect)):
        parser.error('give --name once, or once for each --connect')
    if options.lifetime is None and not options.lines:
        options.lifetime = LIFETIME_S
    if options.refresh_every is None:
        options.refresh_every = (0 if options.lines else
                                 options.lifetime / 3)
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
