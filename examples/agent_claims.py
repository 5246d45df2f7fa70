"""What an agent says: section 8 of doc/protocol.md for one source, without
markers. It has to know, to say it again and to count it.
"""
import dataclasses
import functools
import ipaddress

from uidrecv1 import Record

NEVER = 0xffffffff                # a lifetime
MARGIN_US = 10_000_000            # what ended so long ago lives nowhere


@dataclasses.dataclass(eq=False)
class Claim:
    """What we say of an address. Of receivers: `refused` have not taken it,
    `short` were told what was left of its life, not its lifetime."""
    record: Record                # a MAP, with its event time
    end_us: int                   # None: it never ends, as far as we know
    refused: set = dataclasses.field(default_factory=set)
    short: set = dataclasses.field(default_factory=set)

    def lives(self, now):
        return self.end_us is None or now < self.end_us

    def renew(self, as_of, lifetime_s):
        end = end_of(as_of, lifetime_s)
        self.end_us = (None if None in (end, self.end_us)
                       else max(end, self.end_us))


def end_of(as_of, lifetime_s):
    never = lifetime_s in (None, NEVER)
    return None if never else as_of + lifetime_s * 1_000_000


@functools.lru_cache(1 << 16)
def one_form(text):
    address = ipaddress.ip_address(text)
    return getattr(address, 'ipv4_mapped', None) or address


class Claims:
    """All that we say: section 8 of the protocol for one source."""
    def __init__(self):
        self.claims = {}

    def __len__(self):
        return len(self.claims)

    def __iter__(self):
        return iter(self.claims.values())

    def of(self, record):
        """The claim that has the address and the user of the record."""
        claim = self.claims.get(one_form(record.address))
        return claim if claim and claim.record.user == record.user else None

    def say(self, record, as_of):
        address = one_form(record.address)
        claim = self.claims.get(address)
        if claim and not claim.lives(as_of):
            claim = None
        when = record.event_time_us
        when = as_of if when is None else when
        if record.op == 'MAP':
            self._map(address, claim, record, when, as_of)
        elif record.op == 'REFRESH':
            if claim and record.user in (None, claim.record.user):
                lifetime = record.lifetime_s or claim.record.lifetime_s
                claim.record = dataclasses.replace(claim.record,
                                                   lifetime_s=lifetime)
                claim.renew(as_of, lifetime)
        elif claim and (record.op == 'WITHDRAW'
                        or is_ended(claim.record, record, when)):
            del self.claims[address]

    def _map(self, address, former, record, when, as_of):
        record = dataclasses.replace(record, event_time_us=when)
        claim = Claim(record, end_of(as_of, record.lifetime_s))
        if former and (former.record.user, former.record.event_time_us) == (
                record.user, when):
            claim.record = dataclasses.replace(
                record, source=record.source or former.record.source,
                token=former.record.token if record.token is None
                else record.token)
            claim.end_us = former.end_us
            claim.renew(as_of, record.lifetime_s)
        elif former and former.record.event_time_us > when:
            return
        self.claims[address] = claim

    def forget(self, now, is_kept):
        """Forgets what has ended everywhere."""
        self.claims = {address: claim for address, claim in self.claims.items()
                       if claim.lives(now - MARGIN_US) or is_kept(claim)}


def is_ended(mapping, logout, when):
    if logout.user is None and logout.token is None:
        return mapping.event_time_us < when
    return (logout.user in (None, mapping.user)
            and logout.token in (None, mapping.token)
            and mapping.event_time_us <= when)
