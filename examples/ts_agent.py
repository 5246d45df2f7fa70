#!/usr/bin/env python3
"""A Terminal Server agent in plain Python: tells firewalls which source ports
belong to which user of a multi-user system. It gives out blocks and tells whose
they are; it does not make the system use them.

    ts_agent.py --listen ADDRESS:PORT --cert F --key F --ca F --firewall NAME
                [--firewall NAME]... [--system WORDS] [--lifetime S] [--rest S]
                [--settle S] [--queue N] [--simulate USERS [--seed N]
                [--every S]]

It listens, and firewalls connect to it; served is who has a certificate with
a NAME that is a DNS name or URI. Standard input has a command on each line:

    SYSTEM ADDRESS START+COUNT SIZE [reserve=START+COUNT]... [alias=ADDRESS]...
                        the system: its range of ports and the size of a block;
                        --system gives it the words that follow SYSTEM
    USER NAME START+COUNT   the user shall have the block; NAME is
                        percent-encoded where it has to be (CORP%5Calice)
    FREE START+COUNT    nobody uses the block any more

With --simulate users are made up who come, take and free blocks, one of these
every S seconds while a firewall is there, the same for the same --seed.

What becomes of it is said on standard output, a line each:

    listening PORT          when the SYSTEM is known and no command was read for
                            --settle seconds, so that a snapshot is whole
    given START+COUNT USER  the user may use it: every firewall that is there,
                            and one at least, has acknowledged it
    refused START+COUNT USER    a firewall that is there did not take it: it is
                            taken back from all
    free START+COUNT        it has rested: --rest seconds, and until no firewall
                            still answers with its former user
    bad LINE TEXT           a command that changes nothing
    FIREWALL up | down TEXT | acked SERIAL | rejected LINE CODE-NAME TEXT |
    resync CODE-NAME TEXT   of one firewall

A firewall that does not take the SYSTEM is left out. Every third of the
lifetime all is said to be valid still, or said anew to whom has not taken all.
It ends by SIGTERM or SIGINT, with status 0; 2 is a wrong command line. What a
firewall was told lasts until the lifetime ends.
"""
import argparse
import contextlib
import os
import random
import select
import signal
import socket
import ssl
import sys
import urllib.parse

from agent_input import BadInput, SIGNALS, interruptible
from agent_link import (
    has_name, host_and_port, lifetime, note, seconds, source_clock,
    tls_context)
from ts_blocks import Blocks
from ts_firewall import Caller, Firewall, say
from uidrecv1 import (
    ALIASES_MAX, BYE_SHUTDOWN, RESERVED_MAX, System, are_ports,
    packed_address)
from uidrecv1_source import EARLY_HOLD_US

CALLERS_MAX = 64                  # that have not shown a certificate
LINE_MAX = 65536


class Stop(Exception):
    """A signal."""


# --- Words.

def ports_of(text):
    start, plus, count = text.partition('+')
    if not (plus and start.isdecimal() and count.isdecimal()
            and are_ports((int(start), int(count)))):
        raise ValueError(f'{text}: write START+COUNT, up to port 65535')
    return int(start), int(count)


def system_of(words, line=0):
    options = [word.partition('=') for word in words[3:]]
    if len(words) < 3 or any(key not in ('reserve', 'alias')
                             for key, _, _ in options):
        raise ValueError('write ADDRESS START+COUNT SIZE, and then '
                         'reserve=START+COUNT and alias=ADDRESS')
    address, ports, size = words[0], ports_of(words[1]), words[2]
    reserved = tuple(ports_of(text) for key, _, text in options
                     if key == 'reserve')
    aliases = tuple(text for key, _, text in options if key == 'alias')
    for text in address, *aliases:
        packed_address(text)
    if not size.isdecimal() or not 0 < int(size) <= ports[1]:
        raise ValueError(f'{size}: a block has at most the ports of the range')
    if len(reserved) > RESERVED_MAX or len(aliases) > ALIASES_MAX:
        raise ValueError(f'at most {RESERVED_MAX} reserve= and {ALIASES_MAX} '
                         'alias=')
    return System(address, ports, int(size), reserved, aliases, line)


def word_of(ports):
    return '{}+{}'.format(*ports)


# --- The program.

class Agent:
    """Moves bytes between the input, the sessions and the network."""
    def __init__(self, options):
        self.options, self.clock = options, source_clock()
        self.context = tls_context(ssl.PROTOCOL_TLS_SERVER, options)
        self.context.num_tickets = 0          # no resumption
        self.listener = socket.create_server(
            options.listen, backlog=CALLERS_MAX,
            family=socket.AF_INET6 if ':' in options.listen[0]
            else socket.AF_INET)
        self.listener.setblocking(False)
        self.blocks = Blocks(options.rest, options.lifetime)
        self.firewalls = [Firewall(self, name) for name in options.firewall]
        self.callers, self.is_listening = [], False
        self.line, self.rest, self.eof = 0, b'', False
        self.refresh_us = options.lifetime * 1_000_000 // 3
        self.last_read = now = self.clock()
        self.refresh_at, self.refresh_late = now + self.refresh_us, 0
        self.luck, self.next_event = None, None
        if options.system:
            self.blocks.set_system(options.system, now)
        if options.simulate:
            self.luck, self.next_event = random.Random(options.seed), now
            self.eof = True

    def run(self):
        try:
            while True:
                self._step()
        except Stop:
            for firewall in self.firewalls:
                firewall.session.bye(BYE_SHUTDOWN, 'stopped')
                firewall.disconnect()

    def _step(self):
        now = self.clock()
        self._mind_time(now)
        writers = [it.socket for it in self.firewalls if it.move(now)]
        writers += [it.tls for it in self.callers if it.is_writing]
        self._decide()
        # What was decided may be to be said at once.
        writers += [it.socket for it in self.firewalls
                    if it.socket and it.session.out]
        readers = [it.socket for it in self.firewalls if it.socket]
        readers += [it.tls for it in self.callers]
        readers += [self.listener] * self.is_listening
        readers += [0] * (not self.eof)
        timeout = max(0, self._deadline() - self.clock()) / 1e6
        with interruptible():
            readable, _, _ = select.select(readers, writers, [], timeout)
        if 0 in readable:
            self._read_input()
        if self.listener in readable:
            self._accept()
        for caller in list(self.callers):
            self._meet(caller)

    def _mind_time(self, now):
        if now >= self.refresh_at:
            self.refresh_at = now + self.refresh_us
            self.refresh_late = now + self.refresh_us // 2
            for firewall in self.firewalls:
                firewall.is_refresh_due = True
        for ports in self.blocks.rested(now):
            say('free', word_of(ports))
        settled = self.last_read + int(self.options.settle * 1e6)
        if (not self.is_listening and self.blocks.system
                and (self.eof or now >= settled)):
            self.is_listening = True
            say('listening', self.listener.getsockname()[1])
        if self.next_event is not None and now >= self.next_event:
            self.next_event = now + int(self.options.every * 1e6)
            self._happen(now)

    def _deadline(self):
        times = [it.session.deadline() for it in self.firewalls if it.socket]
        times += [it.began + EARLY_HOLD_US for it in self.callers]
        times += [time for time in (self.refresh_at, self.refresh_late)
                  if time > self.clock()]
        times += [time for time in (self.next_event, self.blocks.deadline())
                  if time is not None]
        if not self.is_listening and self.blocks.system:
            times.append(self.last_read + int(self.options.settle * 1e6))
        return min(times, default=0)

    # --- Who connects.

    def _accept(self):
        with contextlib.suppress(OSError):
            raw, _ = self.listener.accept()
            if len(self.callers) == CALLERS_MAX:
                self.callers.pop(0).tls.close()
            self.callers.append(Caller(raw, self.context, self.clock()))

    def _meet(self, caller):
        try:
            if not caller.move():
                if self.clock() >= caller.began + EARLY_HOLD_US:
                    raise OSError('no handshake in time')
                return
            peer = caller.tls.getpeercert()
            for firewall in self.firewalls:
                if has_name(peer, firewall.name):
                    self.callers.remove(caller)
                    firewall.attach(caller.tls, caller.began)
                    return
            caller.turn_away()
        except OSError as error:
            note(f'who has connected is not let in: {error}')
            self.callers.remove(caller)
            caller.tls.close()

    # --- What happens.

    def _read_input(self):
        data = os.read(0, LINE_MAX)
        self.last_read, self.eof = self.clock(), not data
        *texts, self.rest = (self.rest + data).split(b'\n')
        if self.eof or len(self.rest) > LINE_MAX:
            texts, self.rest = [*texts, self.rest], b''
        for text in texts:
            self.line += 1
            try:
                self._command(text.decode('utf-8', 'surrogateescape').split())
            except ValueError as error:
                say('bad', self.line, ascii(str(error))[1:-1])

    def _command(self, words):
        if not words or words[0].startswith('#'):
            return
        verb, now = words[0], self.clock()
        if verb == 'SYSTEM':
            self._set_system(system_of(words[1:], self.line), now)
        elif verb == 'USER' and len(words) == 3:
            user = urllib.parse.unquote(words[1], errors='surrogateescape')
            if len(user.encode('utf-8', 'surrogateescape')) > 3000:
                raise ValueError('the user does not fit into a frame')
            self._take(user, ports_of(words[2]), now)
        elif verb == 'FREE' and len(words) == 2:
            self._release(ports_of(words[1]), now)
        else:
            raise ValueError('write SYSTEM, USER NAME START+COUNT or FREE '
                             'START+COUNT')

    def _set_system(self, system, now):
        again = self.blocks.set_system(system, now)
        for firewall in self.firewalls:
            firewall.change(again, now, system)

    def _take(self, user, ports, now):
        block = self.blocks.take(user, ports, now, self.line)
        for firewall in self.firewalls:
            firewall.change([block.record], now)

    def _release(self, ports, now):
        end = self.blocks.release(ports, now)
        for firewall in self.firewalls:
            firewall.change([end], now)

    def _decide(self):
        there = {it for it in self.firewalls if it.is_there}
        for block, is_given in list(self.blocks.decide(there)):
            record = block.record
            name = urllib.parse.quote(record.user.encode(
                'utf-8', 'surrogateescape'), safe='\\@. ')
            say('given' if is_given else 'refused', word_of(record.ports),
                name)
            if not is_given:
                self._release(record.ports, self.clock())

    def _happen(self, now):
        """Somebody takes a block, or frees one."""
        if not any(firewall.is_there for firewall in self.firewalls):
            return
        user = f'user{self.luck.randrange(self.options.simulate)}'
        mine = [block for block in self.blocks.held.values()
                if block.record.user == user]
        if mine and self.luck.random() < 0.5:
            self._release(self.luck.choice(mine).record.ports, now)
        elif self.blocks.free and len(mine) < 3:
            start = next(iter(self.blocks.free))
            self._take(user, (start, self.blocks.system.block_size), now)


def listen_address(text):
    host, _, port = text.rpartition(':')
    return (host.strip('[]'), 0) if port == '0' else host_and_port(text)


def system_words(text):
    try:
        return system_of(text.split())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def firewall_name(text):
    if not 1 <= len(text) <= 255 or not all('!' <= c <= '~' for c in text):
        raise argparse.ArgumentTypeError(
            f'{text!a}: a name has 1 to 255 characters of ASCII, no space')
    return text


def parse_options(arguments):
    parser = argparse.ArgumentParser(
        prog='ts_agent.py', description='Tells firewalls which source ports '
        'belong to which user of a multi-user system.',
        epilog='The head of this file says the rest.')
    for name, text in (('cert', 'this agent\'s certificate (PEM)'),
                       ('key', 'its key (PEM)'),
                       ('ca', 'who signs firewalls (PEM)')):
        parser.add_argument('--' + name, required=True, metavar='FILE',
                            help=text)
    parser.add_argument('--listen', required=True, type=listen_address,
                        metavar='ADDRESS:PORT', help='port 0: any')
    parser.add_argument('--firewall', required=True, type=firewall_name,
                        action='append', metavar='NAME', help='who is served')
    parser.add_argument('--system', type=system_words, metavar='WORDS',
                        help='ADDRESS START+COUNT SIZE and more, as above')
    parser.add_argument('--lifetime', type=lifetime, default=900, metavar='S')
    parser.add_argument('--rest', type=seconds, default=240, metavar='S',
                        help='that a block rests')
    parser.add_argument('--settle', type=seconds, default=1, metavar='S')
    parser.add_argument('--queue', type=int, default=10_000, metavar='N',
                        help='messages that wait for a firewall that is away')
    parser.add_argument('--simulate', type=int, default=0, metavar='USERS')
    parser.add_argument('--seed', type=int, default=1, metavar='N')
    parser.add_argument('--every', type=seconds, default=1, metavar='S')
    options = parser.parse_args(arguments)
    if options.simulate and not options.system:
        parser.error('--simulate needs --system')
    if len(set(map(str.lower, options.firewall))) < len(options.firewall):
        parser.error('--firewall: a name stands twice')
    return options


def main(arguments=None):
    options = parse_options(arguments)

    def stop(_number, _frame):
        raise Stop
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        agent = Agent(options)
    except (OSError, BadInput) as error:
        note(error)
        return 2
    agent.run()
    return 0


if __name__ == '__main__':
    sys.exit(main())
