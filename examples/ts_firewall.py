"""The firewalls of ts_agent.py: who has connected, and what each is told."""
import contextlib
import dataclasses
import ssl

from agent_link import Link, note
from uidrecv1 import ALPN, PORTS, SNAPSHOT, System, encode_message
from uidrecv1_source import Session

BYE_REPLACED, NOT_AUTHORIZED, NOT_MULTI_USER = 104, 300, 15


def say(*words):
    print(*words, flush=True)


class Firewall(Link):
    """A firewall that connects to us."""
    def __init__(self, agent, name):
        super().__init__(agent, name, Session(
            lambda text: say(name, text), 500, self._on_refused,
            self._on_acked, 'ts_agent.py'))
        self.is_behind = True     # it has to be told everything
        self.takes_system = True
        self.is_refresh_due = self.was_open = self.has_lost_us = False

    @property
    def is_there(self):
        """Whether its word counts."""
        session = self.session
        return (session.state == 'open' and session.takes(PORTS)
                and self.takes_system)

    def seek(self, now):
        """It has to come by itself."""

    def is_finished(self):
        return False

    def attach(self, tls, began):
        if self.socket:
            self.session.bye(BYE_REPLACED, 'you have connected again')
            self.disconnect()
        self.socket = tls
        self.session.connected(began)

    def failed(self, error):
        note(f'{self.name}: {error}')
        self.disconnect()

    def disconnect(self):
        super().disconnect()
        if self.was_open:
            say(self.name, 'down', self.session.reason)
        self.was_open = self.has_lost_us = False

    def serve(self):
        session, now = self.session, self.clock()
        if not self.was_open:
            self.was_open = True
            say(self.name, 'up')
            if not session.takes(PORTS):
                note(f'{self.name} takes no multi-user systems')
        if not session.takes(PORTS):
            return
        if self.is_behind or session.resync is not None:
            self._tell_all(now)
        if self.is_refresh_due and (session.is_idle()
                                    or now > self.agent.refresh_late):
            self.is_refresh_due = False
            self._refresh(now)

    def _tell_all(self, now):
        session, blocks = self.session, self.agent.blocks
        self.is_behind, session.resync = False, None
        self.is_refresh_due = False
        # Not the one that was changed to: it may change nothing here.
        session.say_system(dataclasses.replace(blocks.system), now)
        if session.takes(SNAPSHOT):
            session.snapshot_begin(now)
        for block in blocks.held.values():
            block.told.add(self)
        session.submit([it.record for it in blocks.held.values()], now)
        if session.takes(SNAPSHOT):
            session.snapshot_end(now)

    def _refresh(self, now):
        held = self.agent.blocks.held.values()
        if (self.session.can_refresh_all() and self.takes_system
                and not any(self in block.refused for block in held)):
            self.session.refresh_all(len(held), now)
        else:
            self._tell_all(now)

    def change(self, records, now, system=None):
        """Says what has changed, unless all is to be said anew."""
        session = self.session
        if self.is_behind:
            return
        if system:
            session.say_system(system, now)
        for record in records:
            block = self.agent.blocks.of(record)
            if block:
                block.told.add(self)
        session.submit(records, now)
        if session.state != 'open' and len(
                session.pending) > self.agent.options.queue:
            note(f'{self.name}: away for too long')
            session.discard()
            self.is_behind = True

    def _on_acked(self, parts):
        for part in parts:
            self.takes_system |= isinstance(part, System)
            self.agent.blocks.acked(self, part)

    def _on_refused(self, part, code):
        """Whether that is settled."""
        if isinstance(part, System):
            self.takes_system = False
        elif (code == NOT_MULTI_USER and self.takes_system
                and not self.has_lost_us):
            self.has_lost_us = self.is_behind = True
            return True           # it has lost the system, and is told again
        else:
            self.agent.blocks.refused(self, part)
        return False


class Caller:
    """Who has connected and not shown who it is; or has, and has to go."""
    def __init__(self, raw, context, now):
        raw.setblocking(False)
        self.tls = context.wrap_socket(raw, server_side=True,
                                       do_handshake_on_connect=False)
        self.began, self.is_writing, self.is_leaving = now, False, False

    def move(self):
        """Returns whether it is known; raises OSError."""
        try:
            if self.is_leaving:
                self._hear_out()
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.is_writing = False
        except ssl.SSLWantWriteError:
            self.is_writing = True
        else:
            if self.tls.selected_alpn_protocol() != ALPN:
                raise OSError(f'no {ALPN}')
            return True
        return False

    def turn_away(self):
        """To be heard out: were it closed now, it might not hear the BYE."""
        self.is_leaving = True
        with contextlib.suppress(ssl.SSLError):
            self.tls.send(encode_message('BYE', REASON=(
                NOT_AUTHORIZED, 'no name of your certificate is on the list')
                ).encode())
            self.tls.unwrap()

    def _hear_out(self):
        while self.tls.recv(65536):
            pass
        raise OSError('no name of its certificate is one of --firewall')
