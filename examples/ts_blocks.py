"""The blocks of a multi-user system: whose they are, which rest, and what the
receivers know of it. Section 8 of doc/protocol.md for its source. Pure.

A receiver is anything that can be in a set.
"""
import collections
import dataclasses

from uidrecv1 import Record, System

TERMINAL_SERVER = 6               # of the TLV SOURCE
MARGIN_US = 1_000_000             # of the end of a life elsewhere


@dataclasses.dataclass(eq=False)
class Block:
    """A block that a user has, or is to have."""
    record: Record                # its MAP
    told: set = dataclasses.field(default_factory=set)
    acked: set = dataclasses.field(default_factory=set)
    refused: set = dataclasses.field(default_factory=set)
    is_given: bool = False        # the user may use it


@dataclasses.dataclass(eq=False)
class Rest:
    """A block that was free again at a time. It rests until `until_us`, and on
    until `dead_us` as long as a receiver may answer with its former user:
    `owed` have not acknowledged `end`, the WITHDRAW or the other System."""
    until_us: int
    dead_us: int
    owed: set
    end: object

    def is_over(self, now):
        return now >= self.until_us and (not self.owed or now >= self.dead_us)


class Blocks:
    def __init__(self, rest_s, lifetime_s):
        self.rest_us, self.lifetime_s = int(rest_s * 1_000_000), lifetime_s
        self.system = None
        self.held, self.resting = {}, {}      # by their first ports
        self.free = collections.OrderedDict()     # for longest first

    def set_system(self, system, now):
        """Returns the MAPs that are to be said again with it. Other ports end
        all blocks."""
        former, self.system = self.system, system
        if former and former.cut() == system.cut():
            return self._move(former.address, system.address)
        rests = self._ended(former, system, now) if former else []
        first, count = system.ports
        size = system.block_size
        self.held, self.resting = {}, {}
        self.free.clear()
        for start in range(first, first + count - size + 1, size):
            if system.refuses((start, size)):
                continue
            rest = [rest for at, many, rest in rests
                    if at < start + size and start < at + many]
            if rest:
                self.resting[start] = Rest(
                    max(it.until_us for it in rest),
                    max(it.dead_us for it in rest),
                    set().union(*(it.owed for it in rest)), system)
            else:
                self.free[start] = None
        return []

    def _move(self, former, address):
        if former == address:
            return []
        for block in self.held.values():
            block.record = dataclasses.replace(block.record, address=address)
            block.acked.clear()
        return [block.record for block in self.held.values()]

    def _ended(self, former, system, now):
        """What rests when another system ends all: (start, count, Rest)."""
        held = [(start, self._rest(block, system, now))
                for start, block in self.held.items()]
        return [(start, former.block_size, rest)
                for start, rest in [*held, *self.resting.items()]]

    def _rest(self, block, end, now):
        return Rest(now + self.rest_us * block.is_given,
                    now + self.lifetime_s * 1_000_000 + MARGIN_US,
                    set(block.told), end)

    def take(self, user, ports, now, line=0):
        """Returns the new Block of a user, which is theirs when it is given.
        Raises ValueError."""
        if self.system is None:
            raise ValueError('there is no SYSTEM yet')
        start, _ = ports
        why = self.system.refuses(ports)
        if why:
            raise ValueError(why)
        if start in self.held:
            raise ValueError('another has it: FREE it first')
        if start in self.resting:
            raise ValueError('it rests')
        del self.free[start]
        self.held[start] = Block(Record(
            'MAP', self.system.address, user, now, self.lifetime_s,
            TERMINAL_SERVER, ports=ports, line=line))
        return self.held[start]

    def release(self, ports, now):
        """Returns the WITHDRAW."""
        start, _ = ports
        if start not in self.held or self.system.refuses(ports):
            raise ValueError('nobody has it')
        block = self.held.pop(start)
        end = Record('WITHDRAW', self.system.address, ports=ports)
        self.resting[start] = self._rest(block, end, now)
        return end

    def of(self, record):
        """The Block that the MAP is of, if it still is."""
        block = record.ports and self.held.get(record.ports[0])
        return block if block and block.record is record else None

    def acked(self, receiver, part):
        """The receiver has acknowledged a record or System."""
        block = isinstance(part, Record) and self.of(part)
        if block:
            block.acked.add(receiver)
            block.refused.discard(receiver)
        for rest in self.resting.values():
            if rest.end is part:
                rest.owed.discard(receiver)

    def refused(self, receiver, record):
        block = self.of(record)
        if block:
            block.refused.add(receiver)
            block.acked.discard(receiver)

    def rested(self, now):
        """The ports that are free again."""
        over = [start for start, rest in self.resting.items()
                if rest.is_over(now)]
        for start in over:
            del self.resting[start]
            self.free[start] = None
        return [(start, self.system.block_size) for start in over]

    def deadline(self):
        """When the next rest may be over; None: there is none."""
        return min((max(rest.until_us, rest.dead_us if rest.owed else 0)
                    for rest in self.resting.values()), default=None)

    def decide(self, receivers):
        """What these receivers, all that are there, have decided of blocks
        that are not given yet: (Block, whether it is given). One is enough to
        refuse, and all have to acknowledge."""
        for block in [it for it in self.held.values() if not it.is_given]:
            if block.refused & receivers:
                yield block, False
            elif receivers and receivers <= block.acked:
                block.is_given = True
                yield block, True
