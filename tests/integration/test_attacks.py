"""Agents that are on the list, keep to the protocol, and mean harm: what one
does with snapshots must not stop, starve or change what others say."""
import struct
import time
import unittest

import harness
from harness import Peer
from uidrecv1 import Record, SNAPSHOT

EVIL = 'evil.example'
BEGIN, UPDATE = 9, 3
LINES_MAX = 65536                 # of the table: one for each epoch of an agent


def tlv(kind, value):
    return struct.pack('>HH', kind, len(value)) + value


def mapping(packed, lifetime_s):
    """A MAP; encode_message() would take longer than all the rest."""
    return tlv(0x8020, tlv(0x8030, packed) + tlv(0x8031, b'u') +
               tlv(0x8033, struct.pack('>I', lifetime_s)))


class Flood:
    """A source that says much, as fast as the window allows."""
    def __init__(self, stage, port, client):
        self.peer = Peer(stage, port, client)
        assert self.peer.next()[0] == 'HELLO'
        self.peer.send(self.peer.hello(CAPABILITIES=SNAPSHOT))
        name, _, fields = self.peer.next()
        assert name == 'READY', name
        self.window, self.serial, self.acked = fields['WINDOW'], 0, 0
        self.waiting, self.others = bytearray(), []

    def say(self, kind, body=b''):
        self.serial += 1
        body = tlv(0x800f, struct.pack('>Q', self.acked)) + body
        self.waiting += struct.pack('>BBHIQ', 1, kind, 0, len(body),
                                    self.serial) + body
        if self.serial - self.acked > self.window // 2:
            self.settle(self.window // 4)

    def begin(self):
        self.say(BEGIN)

    def maps(self, addresses, lifetime_s=3600, age_us=0):
        as_of = struct.pack('>Q', time.time_ns() // 1000 - age_us)
        self.say(UPDATE, tlv(0x8010, as_of) + b''.join(
            mapping(address, lifetime_s) for address in addresses))

    def settle(self, left=0):
        """Sends all, and waits until it is acknowledged but for some."""
        self.peer.send(bytes(self.waiting))
        self.waiting.clear()
        while self.serial - self.acked > left:
            name, serial, fields = self.peer.next()
            if name == 'ACK':
                self.acked = serial
            else:
                self.others.append((name, fields))


class Attacks(harness.StageTest):
    def setUp(self):
        super().setUp()
        with self.stage.agents.open('a') as file:
            file.write(f'{EVIL} 0.0.0.0/0 ::/0 allow=drops\n')
        self.receiver = self.stage.start_receiver()
        self.evil = Flood(self.stage, self.receiver.port,
                          self.stage.authority.issue(EVIL))
        self.addCleanup(self.evil.peer.socket.close)
        self.good = Peer(self.stage, self.receiver.port).open()
        self.addCleanup(self.good.socket.close)

    def test_as_many_epochs_as_the_table_has_lines_and_more(self):
        self.good.send(self.good.update(Record('MAP', '10.0.0.1', 'alice')))
        self.assertEqual(self.good.next()[:2], ('ACK', 1))
        lookup = self.stage.start_lookup()
        for i in range(LINES_MAX + 500):
            self.evil.begin()
            self.evil.maps([struct.pack('>I', 0x0b000000 + i % LINES_MAX)])
            if i >= LINES_MAX - 500 and i % 100 == 0:
                self.assertEqual(lookup.user('10.0.0.1'), 'alice')
        self.evil.settle()
        self.assertEqual(self.evil.others, [])
        self.assertEqual(len(self.stage.everybody()), LINES_MAX + 1)
        self.assertEqual([line for line in self.receiver.err.lines
                          if ' ERROR ' in line], [])

    def test_what_hardly_lives_does_not_pile_up(self):
        count = 600000
        for i in range(0, count, 1000):
            self.evil.maps([struct.pack('>I', 0x10000000 + j)
                            for j in range(i, i + 1000)], 60, 59_900_000)
        self.evil.settle()
        self.assertEqual(self.evil.others, [])
        # A collector of 20,000 a second would have seen few of them.
        self.assertLess(self.receiver.status()[0]['addresses'], count / 6)


if __name__ == '__main__':
    unittest.main()
