"""What lookups must answer, by section 8 of doc/protocol.md and brute force.

The oracle keeps everything that was ever said, in the order in which it was
taken, and works each answer out from the first record on. Nothing is
remembered from one question to the next, nothing is thrown away, and there is
no index: it is meant to be seen to be right, not to be fast.

Two rules of the protocol are left out, because they only bound memory: here a
marker lasts for ever, and there may be any number of them. `outside_limits`
tells whether that can make a difference.

All times are microseconds of one clock, the sink's.
"""
import dataclasses

NEVER = 0xffffffff
TOLERANCE_US = 10_000_000
MARKER_US = 3600 * 1_000_000
MARKERS_MAX = 16
NOT_FOUND = 12


@dataclasses.dataclass(frozen=True)
class Said:
    """One record as a sink took it at the time `now_us`."""
    source: str
    op: str
    address: str
    now_us: int
    as_of_us: int
    user: str = None
    event_time_us: int = None
    lifetime_s: int = None
    token: int = None

    @property
    def event_us(self):
        return (self.as_of_us if self.event_time_us is None
                else self.event_time_us)


@dataclasses.dataclass(frozen=True)
class Claim:
    source: str
    user: str
    event_us: int
    token: int
    lifetime_s: int
    expiry_us: int                # None: never

    def lives(self, now_us):
        return self.expiry_us is None or now_us < self.expiry_us


def expiry(said, lifetime_s):
    if lifetime_s == NEVER:
        return None
    return min(said.as_of_us, said.now_us) + lifetime_s * 1_000_000


def later(one, other):
    return None if one is None or other is None else max(one, other)


def matches(logout, claim):
    """Whether a logout speaks of a claim, whoever made either."""
    if logout.user is None and logout.token is None:
        return claim.event_us < logout.event_us
    return (logout.user in (None, claim.user)
            and logout.token in (None, claim.token)
            and claim.event_us <= logout.event_us)


class Oracle:
    """`priorities` are the sink's: {source: number}; 0 for all others."""
    def __init__(self, default_lifetime_s=2700, priorities=None):
        self.default_lifetime_s = default_lifetime_s
        self.priorities = priorities or {}
        self.said = []

    def say(self, source, op, address, now_us, as_of_us=None, **fields):
        """Adds one record; returns its place among all."""
        as_of_us = now_us if as_of_us is None else as_of_us
        self.said.append(Said(source, op, address, now_us, as_of_us, **fields))
        return len(self.said) - 1

    def answer(self, address, now_us):
        """Returns (user, expiry) or None."""
        said = [s for s in self.said
                if s.address == address and s.now_us <= now_us]
        return self._winner(said, now_us)

    def answers(self, now_us):
        """Returns {address: (user, expiry)} of all addresses."""
        by_address = {}
        for s in self.said:
            if s.now_us <= now_us:
                by_address.setdefault(s.address, []).append(s)
        found = {address: self._winner(said, now_us)
                 for address, said in by_address.items()}
        return {address: answer for address, answer in found.items() if answer}

    def refused(self):
        """The places of the REFRESH records that get REJECT 12."""
        return [place for place, s in enumerate(self.said)
                if s.op == 'REFRESH' and not self._refreshes(
                    s, self._claim([t for t in self.said[:place]
                                    if t.address == s.address], s.source))]

    def outside_limits(self):
        """Addresses at which a marker could have been forgotten: with more
        logouts of one source than markers are kept, or with a record whose
        event is that much older than its arrival."""
        logouts, found = {}, set()
        for s in self.said:
            if s.now_us - s.event_us > MARKER_US:
                found.add(s.address)
            if s.op == 'LOGOUT':
                key = s.address, s.source
                logouts[key] = logouts.get(key, 0) + 1
                if logouts[key] > MARKERS_MAX:
                    found.add(s.address)
        return found

    def _priority(self, source):
        return self.priorities.get(source, 0)

    def _winner(self, said, now_us):
        best = None
        for source in {s.source for s in said}:
            claim = self._claim(said, source)
            if (claim is None or not claim.lives(now_us)
                    or self._suppressed(claim, said)):
                continue
            rank = self._priority(source), claim.event_us, source.encode()
            if best is None or rank > best[0]:
                best = rank, (claim.user, claim.expiry_us)
        return best and best[1]

    def _suppressed(self, claim, said):
        return any(s.op == 'LOGOUT' and matches(s, claim)
                   and self._priority(s.source) >= self._priority(claim.source)
                   for s in said)

    def _claim(self, said, source):
        """The claim of a source after all that was said of an address."""
        claim = None
        for s in said:
            if s.source != source:
                continue
            if s.op == 'MAP':
                claim = self._mapped(s, claim)
            elif s.op == 'REFRESH' and self._refreshes(s, claim):
                lifetime_s = (claim.lifetime_s if s.lifetime_s is None
                              else s.lifetime_s)
                claim = dataclasses.replace(
                    claim, lifetime_s=lifetime_s,
                    expiry_us=later(claim.expiry_us, expiry(s, lifetime_s)))
            elif s.op == 'WITHDRAW':
                claim = None
            elif s.op == 'LOGOUT' and claim and matches(s, claim):
                claim = None
        return claim

    def _mapped(self, s, former):
        lifetime_s = (self.default_lifetime_s if s.lifetime_s is None
                      else s.lifetime_s)
        claim = Claim(s.source, s.user, s.event_us, s.token, lifetime_s,
                      expiry(s, lifetime_s))
        if former is None or not former.lives(s.now_us):
            return claim
        if former.event_us > claim.event_us:
            return former
        if (former.user, former.event_us) == (claim.user, claim.event_us):
            return dataclasses.replace(
                claim, expiry_us=later(claim.expiry_us, former.expiry_us),
                token=former.token if s.token is None else s.token)
        return claim

    @staticmethod
    def _refreshes(s, claim):
        return (claim is not None and claim.lives(s.now_us)
                and s.user in (None, claim.user))
