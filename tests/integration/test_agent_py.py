#!/usr/bin/env python3
"""Tests of examples/agent.py, examples/uidrecv1.py and the test vectors of
doc/protocol.md. Needs python3 and openssl, and nothing of the library: the
firewall is played by a few lines of Python.

$UIDRECV_TEST_DATA may name a folder with windows-logons.jsonl.
"""
# Needs nothing that is built.
# Mostly waits.
import contextlib
import ipaddress
import json
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / 'examples'), str(HERE)]
sys.dont_write_bytecode = True

import agent_input as agent                             # noqa: E402
import genlogons                                        # noqa: E402
import uidrecv1 as wire                                 # noqa: E402
from oracle import Oracle                               # noqa: E402
from uidrecv1 import Record                             # noqa: E402
from uidrecv1_source import Session                     # noqa: E402

DATA = os.environ.get('UIDRECV_TEST_DATA')
NOW = 1_700_000_000_000_000
SECOND = 1_000_000


# --- Rules

def event(number=4624, ts='2026-01-01T00:00:00.000Z', **fields):
    base = dict(id=number, ts=ts, ip='10.0.0.1', port='1', user='Alice',
                domain='CORP', type='10', sid=None, logonid='0x10',
                host='HOST1.corp.example')
    return {**base, **fields}


class RulesTest(unittest.TestCase):
    def setUp(self):
        self.rules = agent.EventRules()

    def one(self, *args, **fields):
        records = self.rules.records(event(*args, **fields))
        self.assertLessEqual(len(records), 1)
        return records[0] if records else None

    def test_logon_maps(self):
        record = self.one()
        self.assertEqual(record, Record(
            'MAP', '10.0.0.1', 'CORP\\alice', 1767225600 * SECOND,
            source=1, token=agent.logon_token('host1.CORP.example', 16)))

    def test_logon_types(self):
        mapping = {t for t in range(15) if self.one(type=str(t))}
        self.assertEqual(mapping, {2, 3, 7, 10, 11, 12, 13})
        self.assertIsNone(self.one(type=None))

    def test_kerberos_maps_without_token(self):
        for number in 4768, 4769, 4770:
            record = self.one(number, user='alice@CORP.EXAMPLE', logonid=None)
            self.assertEqual((record.user, record.token),
                             ('CORP\\alice', None))

    def test_ignored_events(self):
        for number in 4776, 4625, 4672, 1:
            self.assertIsNone(self.one(number))

    def test_user_has_one_form(self):
        for user, domain in (('pgustavo', 'theshire.local'),
                             ('PGustavo', 'THESHIRE'),
                             ('pgustavo@THESHIRE.LOCAL', 'THESHIRE.LOCAL'),
                             ('pgustavo@theshire', None)):
            self.assertEqual(self.one(user=user, domain=domain).user,
                             'THESHIRE\\pgustavo')
        for domain in None, '', '-':
            self.assertEqual(self.one(domain=domain).user, 'alice')

    def test_nobody(self):
        for user in ('PC1$', 'PC1$@CORP.EXAMPLE', 'ANONYMOUS LOGON', 'SYSTEM',
                     'Local Service', 'NETWORK SERVICE', 'DWM-3', 'umfd-12',
                     'host/pc.corp.example', '', '-', None, '\ud800',
                     'x' * 300):
            self.assertIsNone(self.one(user=user), user)
        for domain in 'NT AUTHORITY', 'Window Manager', 'Font Driver Host':
            self.assertIsNone(self.one(domain=domain))
        self.assertIsNone(self.one(user='Syst\xe8me', sid='S-1-5-18'))
        self.assertTrue(self.one(sid='S-1-5-21-1-2-3-1000'))
        self.assertTrue(self.one(user='systema'))

    def test_addresses(self):
        for ip in genlogons.JUNK + ('::ffff:127.0.0.1', 'fe80::1%3', '::5',
                                    '10.0.0', 'host', '::ffff:169.254.1.1'):
            self.assertIsNone(self.one(ip=ip), ip)
        for ip, form in (('::ffff:10.1.2.3', '10.1.2.3'),
                         (' 10.1.2.3 ', '10.1.2.3'),
                         ('2001:DB8:0::5', '2001:db8::5')):
            self.assertEqual(self.one(ip=ip).address, form)

    def test_logoff_gets_the_address_of_its_logon(self):
        on = self.one(ip='10.0.0.7')
        off = self.one(4634, ts='2026-01-01T00:00:05Z', ip=None)
        self.assertEqual(off, Record(
            'LOGOUT', '10.0.0.7', event_time_us=on.event_time_us + 5 * SECOND,
            token=on.token))
        self.assertIsNone(self.one(4634, ip=None))

    def test_logoff_of_network_logon_or_unlock_ends_nothing(self):
        for kind in '3', '7', '13':
            self.assertTrue(self.one(type=kind, logonid='0x20'))
            self.assertIsNone(self.one(4634, type=kind, logonid='0x20'))

    def test_equal_logon_ids_of_two_hosts(self):
        one = self.one()
        two = self.one(host='HOST2.corp.example', ip='10.0.0.2')
        self.assertNotEqual(one.token, two.token)
        self.assertEqual(self.one(4647, ip=None).address, '10.0.0.1')

    def test_logon_read_after_its_logoff(self):
        self.assertIsNone(self.one(4634, ts='2026-01-01T00:00:05Z', ip=None))
        self.assertIsNone(self.one(ts='2026-01-01T00:00:04Z'))
        # The same id after a restart of the host.
        self.assertTrue(self.one(ts='2026-01-01T00:01:00Z'))

    def test_reconnect_and_disconnect(self):
        token = self.one(ip='10.0.0.1').token
        off = self.one(4779, ip='10.0.0.1')
        self.assertEqual((off.op, off.address, off.token),
                         ('LOGOUT', '10.0.0.1', token))
        on = self.one(4778, ip='10.0.0.2')
        self.assertEqual((on.op, on.address, on.token),
                         ('MAP', '10.0.0.2', token))
        self.assertEqual(self.one(4634, ip=None).address, '10.0.0.2')
        self.assertIsNone(self.one(4779, logonid=None))
        self.assertIsNone(self.one(4778, user=None, domain=None))

    def test_memory_is_bounded(self):
        self.rules = agent.EventRules(limit=10)
        for n in range(50):
            self.one(logonid=str(n))
            self.one(4634, logonid=str(1000 + n), ip=None)
        self.assertEqual(len(self.rules.logons), 10)
        self.assertEqual(len(self.rules.ended), 10)
        self.assertTrue(self.one(4634, logonid='49', ip=None))

    def test_times(self):
        for ts, us in (('1970-01-01T00:00:01.5Z', 1_500_000),
                       ('1970-01-01T01:00:00+01:00', 0),
                       ('1970-01-01 00:00:02', 2_000_000),
                       ('1970-01-01T00:00:00.1234567Z', 123_456)):
            self.assertEqual(agent.event_time_us({'ts': ts}), us)

    def test_the_small_input(self):
        self.assertEqual(answers_of(ROOT / 'examples/logons.jsonl'), {
            '10.1.2.3': 'CORP\\alice', '10.1.2.4': 'CORP\\bob',
            '10.1.2.5': 'LAB\\heidi', '10.1.2.9': 'CORP\\grace',
            '2001:db8:1::25': 'CORP\\carol', '2001:db8:1::31': 'CORP\\erin'})

    @unittest.skipUnless(DATA, 'UIDRECV_TEST_DATA is not set')
    def test_real_events(self):
        self.assertEqual(
            answers_of(pathlib.Path(DATA) / 'windows-logons.jsonl'), {
                '1.2.3.4': 'THESHIRE\\pgustavo',
                '172.18.39.105': 'SHIRE\\pgustavo',
                '172.18.39.5': 'THESHIRE\\pgustavo',
                '172.18.39.6': 'THESHIRE\\pgustavo'})

    def test_made_events(self):
        events = genlogons.generate(2000, seed=7)
        self.assertEqual(events, genlogons.generate(2000, seed=7))
        self.assertNotEqual(events, genlogons.generate(2000, seed=8))
        times = [e['ts'] for e in events]
        self.assertNotEqual(times, sorted(times))
        records = [r for e in events for r in self.rules.records(e)]
        self.assertLess(100, sum(r.op == 'LOGOUT' for r in records))
        for record in records:
            self.assertEqual(agent.usable_address(record.address),
                             record.address)
            self.assertRegex(record.user or 'THESHIRE\\a1',
                             r'^(THESHIRE|MORDOR|RIVENDELL)\\[a-z]+\d+$')


def answers_of(path):
    """Who is where after all events of a file, by the oracle."""
    rules, oracle = agent.EventRules(), Oracle()
    events = [json.loads(line) for line in path.read_text().splitlines()]
    now = max(agent.event_time_us(e) for e in events)
    for e in events:
        for r in rules.records(e):
            oracle.say('agent', r.op, r.address, now, user=r.user,
                       token=r.token, event_time_us=r.event_time_us)
    return {address: answer[0]
            for address, answer in oracle.answers(now).items()}


# --- The line language

class LineTest(unittest.TestCase):
    def test_good(self):
        for text, record in (
                ('map 10.0.0.1 CORP%5Calice lifetime_s=60 age_ms=5 token=0xff',
                 Record('MAP', '10.0.0.1', 'CORP\\alice', NOW - 5000, 60,
                        token=255)),
                ('map ::ffff:10.0.0.1 b%C3%B6b', Record(
                    'MAP', '::ffff:10.0.0.1', 'b\xf6b')),
                ('map 10.0.0.1 x age_ms=-1000', Record(
                    'MAP', '10.0.0.1', 'x', NOW + SECOND)),
                ('map 10.0.0.1 %FF%00', Record(
                    'MAP', '10.0.0.1', '\udcff\0')),
                ('  refresh 2001:db8::1\r', Record('REFRESH', '2001:db8::1')),
                ('logout 10.0.0.1', Record('LOGOUT', '10.0.0.1')),
                ('logout 10.0.0.1 bob token=7', Record(
                    'LOGOUT', '10.0.0.1', 'bob', token=7)),
                ('withdraw 10.0.0.1', Record('WITHDRAW', '10.0.0.1'))):
            self.assertEqual(agent.parse_line(text, NOW), [record])
        for text in '', '   ', '# map 10.0.0.1 x', '#':
            self.assertEqual(agent.parse_line(text, NOW), [])

    def test_bad(self):
        for text in ('mop 10.0.0.1 x', 'map 10.0.0.1', 'map 10.0.0.256 x',
                     'map 10.0.0.1 x y', 'map 10.0.0.1 x age=5', 'map',
                     'map 10.0.0.1 x token=1 token=1', 'withdraw 10.0.0.1 x',
                     'map 10.0.0.1 x token=-1', 'map fe80::1%eth0 x',
                     'map 10.0.0.1 x token=0x10000000000000000',
                     'map 10.0.0.1 x lifetime_s=4294967296',
                     'map 10.0.0.1 x lifetime_s=', 'refresh 10.0.0.1 token=1',
                     'map 10.0.0.1 ' + 'x' * 3001):
            with self.assertRaises(ValueError, msg=text):
                agent.parse_line(text, NOW)


# --- Codec

def random_record(rand):
    op = rand.choice(('MAP', 'REFRESH', 'LOGOUT', 'WITHDRAW'))
    bits = rand.getrandbits
    address = rand.choice((ipaddress.IPv4Address(bits(32)),
                           ipaddress.IPv6Address(bits(128))))
    values = dict(USER='u\xf6\U0001f600' * rand.randrange(1, 30),
                  EVENT_TIME=bits(64), LIFETIME=bits(32), SOURCE=bits(8),
                  TOKEN=bits(64))
    given = [values[key] if wire.SCHEMAS[op].get(key) == 'm'
             or key in wire.SCHEMAS[op] and rand.random() < .5 else None
             for key in values]
    return Record(op, str(address), *given)


def random_frames(rand, count):
    frames = []
    for serial in range(1, count + 1):
        records = [random_record(rand) for _ in range(rand.randrange(1, 9))]
        frames.append(rand.choice((
            wire.encode_message('UPDATE', serial, records, AS_OF=NOW),
            wire.encode_message('ACK', serial),
            wire.encode_message('KEEPALIVE', CLOCK=(NOW, 0, 0),
                                ACKED=serial))))
    return frames


def read_all(reader):
    frames = []
    while (frame := reader.next()) is not None:
        frames.append(frame)
    return frames


class CodecTest(unittest.TestCase):
    def test_records_there_and_back(self):
        rand = random.Random(1)
        for _ in range(300):
            records = [random_record(rand)
                       for _ in range(rand.randrange(1, 20))]
            frame = wire.encode_message('UPDATE', 9, records, AS_OF=NOW,
                                        ACKED=8)
            self.assertEqual(wire.decode_message(frame), (
                'UPDATE', dict(AS_OF=NOW, ACKED=8, records=records)))

    def test_messages_there_and_back(self):
        for name, fields in (
                ('READY', dict(VERSION=1, HOLD_TIME=30, DURABLE=5, WINDOW=9)),
                ('ACK', {}),
                ('BYE', dict(REASON=(100, 'b\xf6e'), QUOTE=b'q' * 16)),
                ('RESYNC', dict(REASON=(3, ''))),
                ('SNAPSHOT BEGIN', {}), ('SNAPSHOT BEGIN', dict(ACKED=4)),
                ('SNAPSHOT END', dict(COUNT=1 << 63, ACKED=4)),
                ('REFRESH ALL', dict(AS_OF=NOW, COUNT=0)),
                ('HELLO', dict(VERSIONS=(1, 2), ROLE=2, HOLD_RANGE=(3, 4),
                               FRAME_MAX=4096, CLOCK=(1, 2, 3),
                               CAPABILITIES=1 << 63, SOFTWARE='x'))):
            self.assertEqual(
                wire.decode_message(wire.encode_message(name, **fields)),
                (name, fields))

    def test_any_cut_gives_the_same_frames(self):
        rand = random.Random(2)
        for _ in range(30):
            frames = random_frames(rand, 10)
            stream = b''.join(frame.encode() for frame in frames)
            reader, found, at = wire.FrameReader(), [], 0
            while at < len(stream):
                step = rand.choice((1, 2, 15, 16, 17, 100, 1000))
                reader.feed(stream[at:at + step])
                found += read_all(reader)
                at += step
            self.assertEqual(found, frames)

    def test_every_cut_of_a_frame(self):
        frame = wire.encode_message('UPDATE', 1, [Record('MAP', '::1', 'x')],
                                    AS_OF=NOW)
        stream = frame.encode()
        for cut in range(len(stream)):
            reader = wire.FrameReader()
            reader.feed(stream[:cut])
            self.assertIsNone(reader.next())
            reader.feed(stream[cut:])
            self.assertEqual(reader.next(), frame)
            self.assertIsNone(reader.next())

    def test_random_bodies_are_errors_or_messages(self):
        rand = random.Random(3)
        good = [f for f in random_frames(rand, 30)]
        for _ in range(3000):
            frame = rand.choice(good)
            body = bytearray(frame.body)
            for _ in range(rand.randrange(1, 4)):
                if body:
                    body[rand.randrange(len(body))] = rand.getrandbits(8)
            with contextlib.suppress(wire.ProtocolError):
                wire.decode_message(wire.Frame(frame.kind, frame.serial,
                                               bytes(body)))

    def test_a_header_is_judged_before_its_body(self):
        for header, code in (('0006', 200), ('01060001', 202),
                             ('0106000000001001', 203)):
            reader = wire.FrameReader()
            reader.feed(bytes.fromhex(header.ljust(32, '0')))
            with self.assertRaises(wire.ProtocolError) as caught:
                reader.next()
            self.assertEqual(caught.exception.code, code)

    def test_an_unknown_type_is_judged_with_its_frame(self):
        reader = wire.FrameReader()
        reader.feed(bytes.fromhex('017f0000' + '00000001' + '00' * 8))
        self.assertIsNone(reader.next())
        reader.feed(b'x')
        with self.assertRaises(wire.ProtocolError) as caught:
            wire.decode_message(reader.next())
        self.assertEqual(caught.exception.code, 201)

    def test_values_out_of_range(self):
        hello = dict(VERSIONS=(1, 1), ROLE=1, SESSION=1, REPLAY=(1, 0),
                     ACKED=0, HOLD_RANGE=(3, 3), FRAME_MAX=4096,
                     CLOCK=(1 << 62, 0, 0), SOFTWARE='x' * 64)
        ready = dict(VERSION=1, HOLD_TIME=1, DURABLE=0, WINDOW=1)
        wire.decode_message(wire.encode_message('HELLO', **hello))
        wire.decode_message(wire.encode_message('READY', **ready))
        for name, serial, fields in (
                ('HELLO', 1, hello), ('READY', 1, ready),
                ('HELLO', 0, {**hello, 'VERSIONS': (0, 1)}),
                ('HELLO', 0, {**hello, 'VERSIONS': (2, 1)}),
                ('HELLO', 0, {**hello, 'ROLE': 3}),
                ('HELLO', 0, {**hello, 'SESSION': 0}),
                ('HELLO', 0, {**hello, 'REPLAY': (0, 0)}),
                ('HELLO', 0, {**hello, 'REPLAY': (3, 1)}),
                ('HELLO', 0, {**hello, 'HOLD_RANGE': (4, 3)}),
                ('HELLO', 0, {**hello, 'FRAME_MAX': 4095}),
                ('HELLO', 0, {**hello, 'FRAME_MAX': (1 << 20) + 1}),
                ('HELLO', 0, {**hello, 'CLOCK': (0, (1 << 62) + 1, 0)}),
                ('HELLO', 0, {**hello, 'SOFTWARE': 'x' * 65}),
                ('READY', 0, {**ready, 'VERSION': 0}),
                ('READY', 0, {**ready, 'WINDOW': 0}),
                ('BYE', 0, {'REASON': (100, 'x' * 256)}),
                ('KEEPALIVE', 1, {'CLOCK': (1, 1, 1)})):
            with self.assertRaises(wire.ProtocolError, msg=fields) as caught:
                wire.decode_message(wire.encode_message(name, serial,
                                                        **fields))
            self.assertEqual(caught.exception.code, 204)

    def test_codes_of_records(self):
        user = Record('MAP', '10.0.0.1', 'x').encode()[4:]
        for op, value, code in (
                ('MAP', user, None),
                ('MAP', user + bytes.fromhex('80550000'), 2),
                ('MAP', bytes.fromhex('80550000'), 1),     # and incomplete
                ('MAP', bytes.fromhex('80550000') + user + b'x', 1),
                ('MAP', Record('MAP', '10.0.0.1', '').encode()[4:], 5),
                ('MAP', Record('MAP', '10.0.0.1', 'a\u061cb').encode()[4:], 5),
                ('MAP', Record('MAP', '10.0.0.1', '\udcff').encode()[4:], 5),
                ('MAP', Record('MAP', '10.0.0.1', 'x' * 255).encode()[4:],
                 None),
                ('MAP', Record('MAP', '10.0.0.1', 'x' * 256).encode()[4:], 6),
                ('REFRESH', Record('REFRESH', '10.0.0.1',
                                   lifetime_s=0).encode()[4:], 8)):
            found = wire.decode_update_record(op, value)
            self.assertEqual(getattr(found, 'code', None), code, value)

    def test_an_update_has_1_to_1024_records(self):
        for count, good in (0, False), (1, True), (1024, True), (1025, False):
            frame = wire.encode_message(
                'UPDATE', 1, [Record('WITHDRAW', '10.0.0.1')] * count, AS_OF=1)
            with (contextlib.nullcontext() if good
                  else self.assertRaises(wire.ProtocolError)):
                wire.decode_message(frame)


# --- The vectors of doc/protocol.md

def vectors():
    page = (ROOT / 'doc/protocol.md').read_text(encoding='utf-8')
    section = page.split('\n## 12. ')[1].split('\n## ')[0]
    for part in section.split('\n### ')[1:]:
        title = part.split('\n', 1)[0]
        text = re.search('```text\n(.*?)```', part, re.DOTALL)[1]
        dump = re.search('```hex\n(.*?)```', part, re.DOTALL)[1]
        yield title, text, bytes.fromhex(re.sub('#.*', '', dump))


def field_values(name, text):
    """The value of a TLV line, as the codec wants it."""
    form, keyed = wire.TLVS[name][1], re.findall(r'(?:^| )[a-z]+=', text)
    words = [text]
    if keyed:
        words = re.split(r'(?:^| )[a-z]+=', text, maxsplit=len(form))[1:]
    if form == 'address' or form == '*':
        return text
    if form == '16s':
        return bytes.fromhex(text)
    values = tuple(word if kind == '*' else int(word, 0)
                   for kind, word in zip(form, words, strict=True))
    return values if keyed else values[0]


def tlv_of_line(line, inside):
    name, _, rest = line.partition(' ')
    if name == 'TLV':
        words = dict(word.split('=') for word in rest.split())
        return (int(words['type'], 0).to_bytes(2, 'big')
                + int(words['length']).to_bytes(2, 'big')
                + bytes.fromhex(words['value'])) + inside
    if wire.TLVS[name][1] != 'record':
        inside = field_values(name, rest)
    return wire.encode_tlv(name, inside)


def build(text):
    """Returns the frame of a vector's text, and the codes that answer it."""
    head, *lines = text.rstrip('\n').split('\n')
    header = dict(word.split('=') for word in head.split()[1:])
    answers = [line for line in lines if line.startswith('answer ')]
    body, inside = b'', b''
    for line in reversed([line for line in lines if line not in answers]):
        if line.startswith('  '):
            inside = tlv_of_line(line[2:], b'') + inside
        else:
            body, inside = tlv_of_line(line, inside) + body, b''
    kind = (wire.MESSAGES.get(header['type'].replace('_', ' '))
            or int(header['type'], 0))
    frame = bytearray(wire.Frame(
        kind, int(header['serial']), body, int(header['version']),
        int(header.get('flags', '0'), 0)).encode())
    if 'length' in header:
        frame[4:8] = int(header['length']).to_bytes(4, 'big')
    return bytes(frame), answers


def judge(data):
    """What a receiver answers to one frame, in the words of the vectors."""
    reader = wire.FrameReader()
    reader.limit = 65536
    reader.feed(data)
    try:
        name, fields = wire.decode_message(reader.next())
    except wire.ProtocolError as error:
        return [f'answer BYE code={error.code}'], None, None
    refused = [f'answer REJECT index={index} code={record.code}'
               for index, record in enumerate(fields.get('records', ()))
               if isinstance(record, wire.RecordError)]
    return refused, name, fields


class VectorTest(unittest.TestCase):
    def test_text_makes_the_bytes(self):
        count = 0
        for title, text, data in vectors():
            with self.subTest(title):
                self.assertEqual(build(text)[0].hex(), data.hex())
                count += 1
        self.assertGreaterEqual(count, 33)

    def test_bytes_make_the_text(self):
        for title, text, data in vectors():
            with self.subTest(title):
                answers, name, fields = judge(data)
                self.assertEqual(answers, build(text)[1])
                self.assertEqual(bool(answers), title.startswith('bad: '))
                if not answers:
                    self.compare(text, name, fields)

    def compare(self, text, name, fields):
        lines = [line for line in text.rstrip('\n').split('\n')
                 if not line.lstrip().startswith('TLV')]
        self.assertIn(f' type={name.replace(" ", "_")} ', lines[0])
        records = [r for r in fields.get('records', []) if r is not None]
        ops = [line for line in lines if line in ('MAP', 'REFRESH', 'LOGOUT',
                                                  'WITHDRAW')]
        self.assertEqual(ops, [record.op for record in records])
        values = dict(ADDRESS='address', USER='user', TOKEN='token',
                      EVENT_TIME='event_time_us', LIFETIME='lifetime_s',
                      SOURCE='source', PORTS='ports')
        repeated = {key: [] for key in ('REFUSED', 'RESERVED', 'ALIAS')}
        place = -1
        for line in lines[1:]:
            key, _, value = line.strip().partition(' ')
            if line in ops:
                place += 1
            elif line.startswith('  '):
                self.assertEqual(getattr(records[place], values[key]),
                                 field_values(key, value))
            elif key in repeated:
                repeated[key].append(field_values(key, value))
            else:
                self.assertEqual(fields[key], field_values(key, value))
        for key, value in repeated.items():
            self.assertEqual(fields.get(key, []), value)

    def test_the_index_counts_skipped_records(self):
        for title, _, data in vectors():
            if 'skipped' in title:
                records = judge(data)[2]['records']
                self.assertIsNone(records[0])
                self.assertEqual(records[1].address, '192.0.2.1')


# --- The oracle

class OracleTest(unittest.TestCase):
    def setUp(self):
        self.oracle = Oracle(default_lifetime_s=100,
                             priorities={'vpn': 5, 'dc': 1, 'dc2': 1})

    def say(self, text, at=10, source='dc', **fields):
        op, *user = text.split()
        for key in 'event', 'as_of':
            if key in fields:
                fields[key + {'event': '_time_us', 'as_of': '_us'}[key]] = (
                    fields.pop(key) * SECOND)
        return self.oracle.say(source, op, 'a', at * SECOND, **fields,
                               user=user[0] if user else None)

    def who(self, at=20):
        answer = self.oracle.answer('a', at * SECOND)
        self.assertEqual(self.oracle.answers(at * SECOND),
                         {'a': answer} if answer else {})
        return answer and (answer[0], answer[1] and answer[1] // SECOND)

    def test_life(self):
        self.say('MAP x')
        self.assertIsNone(self.who(9))
        self.assertEqual(self.who(109), ('x', 110))
        self.assertIsNone(self.who(110))

    def test_life_runs_from_as_of(self):
        self.say('MAP x', as_of=5, lifetime_s=10)
        self.assertEqual(self.who(14), ('x', 15))
        self.say('REFRESH', as_of=18, at=12)          # ahead: counts as now
        self.assertEqual(self.who(14), ('x', 22))

    def test_newer_replaces_older_does_not(self):
        self.say('MAP x', event=8)
        self.say('MAP y', event=7)
        self.assertEqual(self.who()[0], 'x')
        self.say('MAP y', event=8)
        self.assertEqual(self.who()[0], 'y')

    def test_an_expired_claim_replaces_nothing(self):
        self.say('MAP x', event=8, lifetime_s=5)
        self.say('MAP y', event=7, at=16)
        self.assertEqual(self.who()[0], 'y')

    def test_restating_never_shortens(self):
        self.say('MAP x', event=8, lifetime_s=90)
        self.say('MAP x', event=8, lifetime_s=5, at=12)
        self.assertEqual(self.who(), ('x', 100))
        self.say('MAP x', event=9, lifetime_s=30, at=12)
        self.assertEqual(self.who(), ('x', 42))
        self.say('MAP x', event=9, lifetime_s=0xffffffff, at=12)
        self.assertEqual(self.who(), ('x', None))

    def test_refresh(self):
        places = [self.say('REFRESH')]
        self.say('MAP x')
        self.say('REFRESH x', at=15)
        places.append(self.say('REFRESH y', at=16))
        self.assertEqual(self.who(), ('x', 115))
        places.append(self.say('REFRESH x', at=115))
        self.assertEqual(self.oracle.refused(), places)

    def test_withdraw(self):
        self.say('MAP x', source='vpn')
        self.say('MAP y')
        self.say('WITHDRAW', source='vpn')
        self.assertEqual(self.who()[0], 'y')

    def test_late_logout_of_an_old_session(self):
        self.say('MAP x', event=5, token=1)
        self.say('MAP x', event=7, token=2)
        self.say('LOGOUT', event=9, token=1)
        self.assertEqual(self.who()[0], 'x')
        self.say('LOGOUT', event=9, token=2)
        self.assertIsNone(self.who())

    def test_logout_before_its_login(self):
        self.say('LOGOUT x', event=9)
        self.say('MAP x', event=8)
        self.assertIsNone(self.who())
        self.say('MAP x', event=10)
        self.assertEqual(self.who()[0], 'x')

    def test_logout_without_user_is_strict(self):
        self.say('MAP x', event=9)
        self.say('LOGOUT', event=9)
        self.assertEqual(self.who()[0], 'x')
        self.say('LOGOUT', event=10)
        self.assertIsNone(self.who())

    def test_logout_and_priorities(self):
        self.say('MAP x', source='vpn', event=5)
        self.say('MAP y', source='dc', event=6)
        self.say('LOGOUT', source='dc2', event=9)
        self.assertEqual(self.who()[0], 'x')
        self.say('LOGOUT x', source='vpn', event=9)
        self.assertIsNone(self.who())

    def test_the_greatest_wins(self):
        self.say('MAP a', source='dc', event=9)
        self.say('MAP b', source='dc2', event=9)
        self.assertEqual(self.who()[0], 'b')
        self.say('MAP c', source='vpn', event=1, lifetime_s=5)
        self.assertEqual(self.who(14)[0], 'c')
        self.assertEqual(self.who(15)[0], 'b')

    def test_outside_limits(self):
        for _ in range(16):
            self.say('LOGOUT')
        self.assertFalse(self.oracle.outside_limits())
        self.say('LOGOUT')
        self.assertEqual(self.oracle.outside_limits(), {'a'})


# --- The session, without sockets

class SessionTest(unittest.TestCase):
    def setUp(self):
        self.said, self.now = [], NOW
        self.session = Session(self.said.append, batch=2)
        self.reader = None

    def connect(self, durable=0, window=256, hold=30, frame_max=65536):
        self.session.connected(self.now)
        self.reader = wire.FrameReader()
        self.reader.limit = 1 << 20
        self.feed('HELLO', VERSIONS=(1, 1), ROLE=2, HOLD_RANGE=(10, hold),
                  FRAME_MAX=frame_max, CLOCK=(5, 0, 0))
        self.now += 7
        hello = self.sent()[0][1]
        self.feed('READY', VERSION=1, HOLD_TIME=hold, DURABLE=durable,
                  WINDOW=window)
        return hello

    def feed(self, name, serial=0, version=1, **fields):
        frame = wire.encode_message(name, serial)
        body = b''.join(
            wire.encode_tlv(key, value) for key, many in fields.items()
            for value in (many if isinstance(many, list) else [many]))
        frame = wire.Frame(frame.kind, serial, body, version)
        self.session.feed(frame.encode(), self.now)

    def sent(self):
        self.reader.feed(bytes(self.session.out))
        self.session.out.clear()
        return [wire.decode_message(frame) + (frame.serial,)
                for frame in read_all(self.reader)]

    def submit(self, count):
        self.session.submit([Record('MAP', '10.0.0.1', 'x', line=n)
                             for n in range(1, count + 1)], self.now)

    def assert_bye(self, code):
        name, fields, _ = self.sent()[-1]
        self.assertEqual((name, fields['REASON'][0]), ('BYE', code))
        self.assertEqual(self.session.state, 'closed')
        return fields

    def test_hello(self):
        hello = self.connect()
        self.assertEqual(hello['REPLAY'], (1, 0))
        self.assertEqual(hello['ACKED'], 0)
        self.assertEqual(hello['CLOCK'], (NOW, 5, 0))
        self.assertEqual(self.session.state, 'open')

    def test_hello_of_a_higher_version(self):
        self.session.connected(self.now)
        self.reader = wire.FrameReader()
        self.feed('HELLO', version=3, VERSIONS=(1, 3), ROLE=2,
                  HOLD_RANGE=(10, 30), FRAME_MAX=4096, CLOCK=(5, 0, 0))
        self.assertEqual(self.sent()[0][0], 'HELLO')
        self.feed('READY', version=2, VERSION=1, HOLD_TIME=30, DURABLE=0,
                  WINDOW=1)
        self.assert_bye(200)

    def test_refused_hellos(self):
        good = dict(VERSIONS=(1, 1), ROLE=2, HOLD_RANGE=(10, 30),
                    FRAME_MAX=4096, CLOCK=(5, 0, 0))
        for change, code in (({'VERSIONS': (2, 3)}, 301),
                             ({'ROLE': 1, 'SESSION': 1, 'REPLAY': (1, 0),
                               'ACKED': 0}, 302), ({'SESSION': 1}, 305),
                             ({'FRAME_MAX': 100}, 204), ({'MAP': b''}, 305),
                             ({'CLOCK': []}, 204)):
            self.session.connected(self.now)
            self.reader = wire.FrameReader()
            self.feed('HELLO', **{**good, **change})
            self.assert_bye(code)
            self.assertEqual(self.session.final is not None, code >= 300)
            self.session.final = None

    def test_batches_and_window(self):
        self.connect(window=2)
        self.submit(7)
        first = self.sent()
        self.assertEqual([s for _, _, s in first], [1, 2])
        self.assertEqual([len(f['records']) for _, f, _ in first], [2, 2])
        self.assertNotIn('ACKED', first[0][1])
        self.feed('ACK', 1)
        (_, fields, serial), = self.sent()
        self.assertEqual((serial, fields['ACKED']), (3, 1))
        self.feed('ACK', 3)
        (_, fields, serial), = self.sent()
        self.assertEqual((serial, len(fields['records'])), (4, 1))
        self.assertEqual(self.said, ['acked 1', 'acked 3'])

    def test_frame_max(self):
        self.session.batch = 1000
        self.connect(frame_max=4096)
        self.session.submit([Record('MAP', '10.0.0.1', 'x' * 255)] * 100,
                            self.now)
        frames = self.sent()
        self.assertGreater(len(frames), 5)
        self.assertEqual(sum(len(f['records']) for _, f, _ in frames), 100)
        self.assertEqual(self.session.state, 'open')

    def test_replay_after_a_lost_connection(self):
        self.connect()
        self.submit(6)
        before = self.sent()
        self.feed('REJECT', 2, REFUSED=[(0, 4, 'not yours\n')])
        self.feed('ACK', 1)
        self.now += 60 * SECOND
        hello = self.connect(durable=2)
        self.assertEqual((hello['REPLAY'], hello['ACKED']), ((2, 3), 1))
        self.assertEqual(self.sent(), before[1:])     # the same times too
        self.feed('REJECT', 2, REFUSED=[(0, 4, 'not yours'), (1, 99, '')])
        self.feed('ACK', 3)
        self.assertEqual(self.said, [
            'rejected 3 ADDRESS-NOT-ALLOWED not yours?', 'acked 1',
            'rejected 4 99', 'acked 3'])
        self.assertEqual(self.session.refused, 2)
        self.assertFalse(self.session.updates)

    def test_ack_and_reject_out_of_place(self):
        for name, serial, fields in (
                ('ACK', 4, {}), ('ACK', 1, {}), ('ACK', 10, {}),
                ('REJECT', 2, dict(REFUSED=(0, 1, ''))),
                ('REJECT', 4, dict(REFUSED=(0, 1, '')))):
            self.setUp()
            self.connect(window=1)
            self.submit(8)                    # 4 serials, 3 of them sent
            self.feed('ACK', 1)
            self.feed('ACK', 2)
            self.feed(name, serial, **fields)
            self.assertEqual(self.assert_bye(206)['QUOTE'][1],
                             wire.MESSAGES[name])

    def test_an_ack_is_of_this_connection(self):
        self.connect()
        self.submit(6)                        # 3 serials
        self.connect(window=1)
        self.assertEqual([s for _, _, s in self.sent()], [1])
        self.feed('ACK', 2)
        self.assert_bye(206)

    def test_durable_below_what_was_acknowledged(self):
        self.connect()
        self.submit(6)
        self.sent()
        self.feed('ACK', 2)
        hello = self.connect(durable=1)       # an old backup
        self.assertEqual(hello['REPLAY'], (3, 3))
        self.assertEqual([s for _, _, s in self.sent()], [3])

    def test_a_frame_that_no_longer_fits(self):
        self.session.batch = 1000
        self.connect(frame_max=65536)
        self.session.submit([Record('MAP', '10.0.0.1', 'x' * 255)] * 100,
                            self.now)
        self.connect(frame_max=4096)
        self.assert_bye(100)
        self.assertIn('FRAME_MAX', self.session.final)

    def test_bytes_without_a_frame_are_no_sign_of_life(self):
        self.connect(hold=30)
        self.now += 29 * SECOND
        self.session.feed(b'\1', self.now)
        self.now += SECOND
        self.session.tick(self.now)
        self.assert_bye(101)

    def test_reject_of_no_record(self):
        self.connect()
        self.submit(1)
        self.feed('REJECT', 1, REFUSED=(1, 1, ''))
        self.assert_bye(204)

    def test_wrong_state(self):
        for name, fields in (('ACK', {}), ('KEEPALIVE', dict(CLOCK=(1, 0, 0))),
                             ('READY', dict(VERSION=1, HOLD_TIME=9, DURABLE=0,
                                            WINDOW=1))):
            self.session.connected(self.now)
            self.reader = wire.FrameReader()
            self.feed(name, **fields)
            self.assert_bye(205)
        self.connect()
        self.feed('UPDATE', 1, AS_OF=1, WITHDRAW=b'')
        self.assert_bye(205)
        self.connect()
        self.feed('RESYNC', REASON=(1, ''))
        self.assert_bye(205)

    def test_bad_ready(self):
        for change in (dict(VERSION=2), dict(WINDOW=0), dict(HOLD_TIME=2),
                       dict(HOLD_TIME=301), dict(DURABLE=1)):
            self.connect()
            self.session.connected(self.now)
            self.session.state = 'wait-ready'
            self.feed('READY', **{**dict(VERSION=1, HOLD_TIME=9, DURABLE=0,
                                         WINDOW=1), **change})
            self.assert_bye(206 if 'DURABLE' in change else 204)

    def test_keepalive_and_hold_time(self):
        self.connect(hold=30)
        self.assertEqual(self.session.deadline(),
                         self.session.sent + 10 * SECOND)
        self.now += 10 * SECOND
        self.session.tick(self.now)
        (name, fields, _), = self.sent()
        self.assertEqual((name, fields), ('KEEPALIVE', dict(
            CLOCK=(self.now, 5, self.now - NOW), ACKED=0)))
        self.feed('KEEPALIVE', CLOCK=(77, self.now, 1))
        self.now += 29 * SECOND
        self.session.tick(self.now)
        self.assertEqual(self.sent()[0][1]['CLOCK'],
                         (self.now, 77, 29 * SECOND))
        self.now += SECOND
        self.session.tick(self.now)
        self.assert_bye(101)
        self.assertIsNone(self.session.final)

    def test_silence_before_ready(self):
        self.session.connected(self.now)
        self.reader = wire.FrameReader()
        self.assertEqual(self.session.deadline(), self.now + 10 * SECOND)
        self.now += 10 * SECOND
        self.session.tick(self.now)
        self.assert_bye(101)

    def test_any_bytes_end_in_a_state(self):
        rand = random.Random(5)
        for _ in range(500):
            self.connect()
            self.submit(3)
            noise = bytearray(b''.join(f.encode() for f in (
                wire.encode_message('ACK', 1),
                wire.encode_message('KEEPALIVE', CLOCK=(9, 9, 9)),
                wire.encode_message('ACK', 2))))
            for _ in range(rand.randrange(4)):
                noise[rand.randrange(len(noise))] = rand.getrandbits(8)
            self.session.feed(noise, self.now)
            self.assertIn(self.session.state, ('open', 'closed'))
            self.setUp()


# --- The program, against a firewall that is played

def openssl(*words, folder):
    subprocess.run(['openssl', *words], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates(folder):
    for ca in 'ca', 'other':
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt',
                'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{ca}.key',
                '-out', f'{ca}.pem', '-subj', f'/CN={ca}', '-days', '2',
                folder=folder)
    for name, ca, names in (
            ('sink', 'ca', 'DNS:Firewall.example,IP:127.0.0.1,URI:urn:sink:1'),
            ('agent', 'ca', 'URI:urn:agent:1'),
            ('unnamed', 'ca', 'DNS:elsewhere.example'),
            ('stranger', 'other', 'URI:urn:agent:1')):
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                '-nodes', '-keyout', f'{name}.key', '-out', f'{name}.csr',
                '-subj', f'/CN={name}', folder=folder)
        (folder / 'san').write_text(f'subjectAltName={names}\n')
        openssl('x509', '-req', '-in', f'{name}.csr', '-CA', f'{ca}.pem',
                '-CAkey', f'{ca}.key', '-CAcreateserial', '-days', '2',
                '-extfile', 'san', '-out', f'{name}.pem', folder=folder)


class Connection:
    """One connection of the played firewall."""
    def __init__(self, tls):
        self.tls, self.reader = tls, wire.FrameReader()
        self.reader.limit = 65536

    def send(self, name, serial=0, **fields):
        self.tls.sendall(wire.encode_message(name, serial, **fields).encode())

    def receive(self):
        """Returns (name, fields, serial), or None at the end."""
        while (frame := self.reader.next()) is None:
            data = self.tls.recv(65536)
            if not data:
                return None
            self.reader.feed(data)
        return wire.decode_message(frame) + (frame.serial,)

    def expect(self, *names):
        message = self.receive()
        if message is None or message[0] not in names:
            raise AssertionError(f'{message} instead of {names}')
        return message

    def open(self, durable=0, window=256, hold=30):
        self.send('HELLO', VERSIONS=(1, 1), ROLE=2, HOLD_RANGE=(3, hold),
                  FRAME_MAX=65536, CLOCK=(time.time_ns() // 1000, 0, 0))
        _, hello, _ = self.expect('HELLO')
        self.send('READY', VERSION=1, HOLD_TIME=hold, DURABLE=durable,
                  WINDOW=window)
        return hello

    def acknowledge(self):
        """Until BYE. Returns the records that came."""
        records = []
        while (message := self.receive()) and message[0] != 'BYE':
            if message[0] == 'UPDATE':
                records += message[1]['records']
                self.send('ACK', message[2])
        assert message and message[1]['REASON'][0] == 100, message
        return records


class Firewall:
    """Plays one script per connection, in a thread. A script that returns
    drops its connection; what it returns is in `results`."""
    def __init__(self, folder, *scripts, alpn='uidrecv/1', certificate='sink'):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(folder / f'{certificate}.pem',
                                folder / f'{certificate}.key')
        context.load_verify_locations(folder / 'ca.pem')
        context.verify_mode = ssl.CERT_REQUIRED
        if alpn:
            context.set_alpn_protocols([alpn])
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.listener.settimeout(60)
        self.port = self.listener.getsockname()[1]
        self.context, self.scripts, self.results = context, scripts, []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        for script in self.scripts:
            try:
                raw, _ = self.listener.accept()
                raw.settimeout(60)
                with self.context.wrap_socket(raw, server_side=True) as tls:
                    self.results.append(script(Connection(tls)))
            except (OSError, AssertionError) as error:
                self.results.append(error)
        self.listener.close()

    def finish(self):
        self.thread.join(120)
        for result in self.results:
            if isinstance(result, AssertionError):
                raise result
        return self.results


class ProgramTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        make_certificates(cls.folder)

    def start(self, firewall, *options, certificate='agent', file='-'):
        port = firewall if isinstance(firewall, int) else firewall.port
        process = subprocess.Popen(
            [sys.executable, ROOT / 'examples/agent.py', '--timeout', '90',
             '--connect', f'127.0.0.1:{port}', '--ca', self.folder / 'ca.pem',
             '--cert', self.folder / f'{certificate}.pem',
             '--key', self.folder / f'{certificate}.key', *options, file],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.stop, process)
        return process

    @staticmethod
    def stop(process):
        process.kill()
        process.communicate()

    def run_agent(self, firewall, *options, lines=None, status=0, **others):
        if lines is not None:
            options = ('--lines',) + options
        process = self.start(firewall, *options, **others)
        out, err = process.communicate(lines, 120)
        self.assertEqual(process.returncode, status, err)
        if not isinstance(firewall, int):
            firewall.finish()
        return out, err

    def firewall(self, *scripts, **options):
        return Firewall(self.folder, *scripts, **options)

    def test_a_file_of_events(self):
        hellos = []

        def script(connection):
            hellos.append(connection.open())
            return connection.acknowledge()
        firewall = self.firewall(script)
        before = time.time_ns() // 1000
        out, _ = self.run_agent(firewall, '--replay', '--batch', '4',
                                file=ROOT / 'examples/logons.jsonl')
        records, = firewall.results
        self.assertEqual(len(records), 13)
        self.assertEqual(out, ''.join(f'acked {n}\n' for n in range(1, 5)))
        self.assertEqual(records[0].user, 'CORP\\alice')
        last = max(r.event_time_us for r in records)
        self.assertLess(abs(last - before), 15 * SECOND)
        self.assertNotEqual(hellos[0]['SESSION'], 0)
        self.assertEqual(hellos[0]['REPLAY'], (1, 0))

    def test_replay_of_standard_input(self):
        firewall = self.firewall(lambda c: (c.open(), c.acknowledge())[1])
        text = (ROOT / 'examples/logons.jsonl').read_text()
        process = self.start(firewall, '--replay')
        process.communicate(text, 60)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(len(firewall.finish()[0]), 13)

    def test_event_times_as_they_are(self):
        firewall = self.firewall(lambda c: (c.open(), c.acknowledge())[1])
        self.run_agent(firewall, file=ROOT / 'examples/logons.jsonl')
        self.assertEqual(firewall.results[0][0].event_time_us,
                         1772438403120000)

    def test_lines_are_sent_at_once(self):
        firewall = self.firewall(lambda c: (c.open(), c.acknowledge())[1])
        process = self.start(firewall, '--lines')
        lines = ('map 10.0.0.1 CORP%5Cx', 'map 10.0.0.2 y',
                 'logout 10.0.0.1 token=5')
        for serial, line in enumerate(lines, 1):
            process.stdin.write(line + '\n')
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), f'acked {serial}\n')
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(firewall.finish()[0], [
            Record('MAP', '10.0.0.1', 'CORP\\x'),
            Record('MAP', '10.0.0.2', 'y'),
            Record('LOGOUT', '10.0.0.1', token=5)])

    def test_refused_records(self):
        def script(connection):
            connection.open()
            connection.expect('UPDATE')
            connection.send('REJECT', 1, REFUSED=(1, 3, 'no such address'))
            connection.send('ACK', 1)
            connection.expect('BYE')
        out, _ = self.run_agent(
            self.firewall(script), status=1,
            lines='# c\nmap 10.0.0.1 x\n\nmap 0.0.0.0 y\n')
        self.assertEqual(
            out, 'rejected 4 ADDRESS-INVALID no such address\nacked 1\n')

    def test_a_dropped_connection_is_replayed(self):
        def first(connection):
            hello = connection.open()
            updates = [connection.expect('UPDATE') for _ in range(4)]
            connection.send('ACK', 1)
            return hello, updates

        def second(connection):
            hello = connection.open(durable=3)
            updates = [connection.expect('UPDATE') for _ in range(3)]
            connection.send('REJECT', 4, REFUSED=(0, 10, ''))
            connection.send('ACK', 4)
            connection.expect('BYE')
            return hello, updates
        firewall = self.firewall(first, second)
        out, _ = self.run_agent(
            firewall, '--batch', '1', status=1,
            lines=''.join(f'map 10.0.0.{n} u age_ms=50\n'
                          for n in (1, 2, 3, 4)))
        (hello1, sent), (hello2, again) = firewall.results
        self.assertEqual(hello1['SESSION'], hello2['SESSION'])
        self.assertEqual((hello2['REPLAY'], hello2['ACKED']), ((2, 4), 1))
        self.assertEqual(sent[1:], again)
        self.assertEqual(out, 'acked 1\nrejected 4 QUOTA\nacked 4\n')

    def test_the_window(self):
        def script(connection):
            connection.open(window=3)
            top = acked = 0
            while acked < 20:
                while top < min(20, acked + 3):
                    top = connection.expect('UPDATE')[2]
                connection.tls.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    raise AssertionError(connection.receive())
                connection.tls.settimeout(60)
                acked += 2
                connection.send('ACK', acked)
            connection.expect('BYE')
        self.run_agent(self.firewall(script), '--batch', '1',
                       lines='refresh 10.0.0.1\n' * 20)

    def test_a_long_input(self):
        firewall = self.firewall(lambda c: (c.open(), c.acknowledge())[1])
        path = self.folder / 'long.jsonl'
        events = genlogons.generate(6000, seed=3)
        path.write_text(''.join(json.dumps(e) + '\n' for e in events))
        self.run_agent(firewall, '--replay', file=path)
        rules = agent.EventRules()
        self.assertEqual([(r.op, r.address, r.user, r.token)
                          for r in firewall.results[0]],
                         [(r.op, r.address, r.user, r.token)
                          for e in events for r in rules.records(e)])

    def test_keepalives(self):
        def script(connection):
            connection.open(hold=6)
            for _ in range(2):
                fields = connection.expect('KEEPALIVE')[1]
                self.assertGreater(fields['CLOCK'][1], 0)
                connection.send('KEEPALIVE', CLOCK=(1, 0, 0))
            connection.expect('KEEPALIVE')
            process.stdin.write('withdraw 10.0.0.1\n')
            process.stdin.flush()
            self.assertEqual(connection.expect('UPDATE')[2], 1)
            connection.send('ACK', 1)
            connection.expect('BYE')
        firewall = self.firewall(script)
        process = self.start(firewall, '--lines')
        self.assertEqual(process.stdout.readline(), 'acked 1\n')
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        firewall.finish()

    def test_a_silent_firewall(self):
        def silent(connection):
            connection.open(hold=3)
            name, fields = '', {}
            while name != 'BYE':
                name, fields, _ = connection.expect('KEEPALIVE', 'BYE')
            return fields['REASON'][0]
        firewall = self.firewall(silent, lambda c: (c.open(), c.acknowledge()))
        process = self.start(firewall, '--lines')
        self.assertIn('101', process.stderr.readline())
        process.communicate('', 60)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(firewall.finish()[0], 101)

    def test_bye_that_is_final(self):
        def script(connection):
            connection.open()
            connection.expect('UPDATE')
            connection.send('BYE', REASON=(303, 'superseded'))
        _, err = self.run_agent(self.firewall(script), status=3,
                                lines='map 10.0.0.1 x\n')
        self.assertIn('303 superseded', err)

    def test_bye_300_after_hello(self):
        def script(connection):
            connection.send('HELLO', VERSIONS=(1, 1), ROLE=2,
                            HOLD_RANGE=(3, 9), FRAME_MAX=65536,
                            CLOCK=(1, 0, 0))
            connection.send('BYE', REASON=(300, 'not on the list'))
            with contextlib.suppress(OSError):
                connection.receive()
        self.run_agent(self.firewall(script), lines='', status=3)

    def test_other_byes_are_retried(self):
        def leaves(code):
            def script(connection):
                connection.open()
                connection.send('BYE', REASON=(code, ''))
                with contextlib.suppress(OSError):
                    while connection.receive():
                        pass
            return script
        firewall = self.firewall(leaves(100), leaves(205), leaves(104),
                                 lambda c: (c.open(), c.acknowledge())[1])
        self.run_agent(firewall, lines='map 10.0.0.1 x\n')
        self.assertEqual(len(firewall.results[3]), 1)

    def test_a_broken_frame_is_answered(self):
        def script(connection):
            connection.open()
            connection.tls.sendall(bytes.fromhex('0199' + '00' * 14))
            while (message := connection.receive())[0] != 'BYE':
                pass
            return message[1]
        firewall = self.firewall(script, lambda c: (c.open(), c.acknowledge()))
        self.run_agent(firewall, lines='map 10.0.0.1 x\n')
        self.assertEqual(firewall.results[0]['REASON'][0], 201)
        self.assertEqual(firewall.results[0]['QUOTE'].hex(),
                         '0199' + '00' * 14)

    def test_our_certificate_is_refused(self):
        _, err = self.run_agent(self.firewall(lambda c: None), lines='',
                                status=3, certificate='stranger')
        self.assertIn('TLS', err)

    def test_their_certificate_is_refused(self):
        self.run_agent(self.firewall(lambda c: None, certificate='stranger'),
                       lines='', status=3)

    def test_names(self):
        for name, good in (('firewall.example', True), ('urn:sink:1', True),
                           ('127.0.0.1', True), ('sink', False),
                           ('urn:sink:2', False), ('127.0.0.2', False),
                           ('*.example', False), ('URN:sink:1', False)):
            with self.subTest(name):
                firewall = self.firewall(
                    lambda c: (c.open(), c.acknowledge()) if good else None)
                self.run_agent(firewall, '--name', name, lines='',
                               status=0 if good else 3)

    def test_a_stranger_gets_nothing_that_was_left(self):
        def first(connection):            # reads nothing of some 20 MB
            connection.open(window=10000)
            time.sleep(1)
            firewall.context.load_cert_chain(self.folder / 'unnamed.pem',
                                             self.folder / 'unnamed.key')
        path, got = self.folder / 'much', []
        path.write_text(f'map 10.0.0.1 {"x" * 2900}\n' * 8000)
        firewall = self.firewall(first, lambda c: got.append(c.receive()))
        self.run_agent(firewall, '--lines', '--batch', '1', '--name',
                       'urn:sink:1', file=path, status=3)
        self.assertEqual(got, [None])

    def test_alpn_is_needed(self):
        for alpn in None, 'h2':
            self.run_agent(self.firewall(lambda c: None, alpn=alpn), lines='',
                           status=3)

    def test_nobody_listens_at_first(self):
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        process = self.start(port, '--lines')
        for _ in range(2):
            self.assertIn('refused', process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0)       # nothing was read

    def test_signals(self):
        for number in signal.SIGTERM, signal.SIGINT:
            firewall = self.firewall(lambda c: (c.open(), c.acknowledge())[1])
            process = self.start(firewall, '--lines')
            process.stdin.write('map 10.0.0.1 x\n')
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), 'acked 1\n')
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, err), (0, ''))
            firewall.finish()

    def test_a_signal_before_the_ack(self):
        def script(connection):
            connection.open()
            connection.expect('UPDATE')
            process.send_signal(signal.SIGTERM)
            return connection.expect('BYE')
        firewall = self.firewall(script)
        process = self.start(firewall, '--lines')
        process.stdin.write('map 10.0.0.1 x\n')
        process.stdin.flush()
        process.wait(60)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(firewall.finish()[0][1]['REASON'][0], 100)

    def test_the_time_is_over(self):
        firewall = self.firewall(
            lambda c: (c.open(), c.expect('UPDATE'), c.expect('BYE')))
        _, err = self.run_agent(firewall, '--timeout', '1', status=3,
                                lines='map 10.0.0.1 x\n')
        self.assertIn('the time is over', err)

    def test_bad_lines(self):
        firewall = self.firewall(lambda c: (c.open(), c.acknowledge())[1])
        out, err = self.run_agent(
            firewall, status=2, lines='map 10.0.0.1 x\nmap\nmap 10.0.0.2 y\n')
        self.assertEqual((out, len(firewall.results[0])), ('acked 1\n', 1))
        self.assertIn('line 2: ', err)

    def test_bad_events(self):
        good = json.dumps(event())
        for bad in ('{', '7', '{}', good.replace('4624', '"x"'),
                    good.replace('"10"', '[1]'), good.replace('Alice"', 'A"x'),
                    good.replace('"Alice"', '5'), good.replace('2026', 'x')):
            firewall = self.firewall(lambda c: (c.open(), c.acknowledge())[1])
            path = self.folder / 'bad.jsonl'
            path.write_text(f'{good}\n\n{bad}\n')
            _, err = self.run_agent(firewall, status=2, file=path)
            self.assertIn('line 3: ', err)
            self.assertEqual(len(firewall.results[0]), 1)

    def test_usage(self):
        for options in (('--batch', '0'), ('--batch', '1001'), ('--nothing',),
                        ('--connect', 'x'), ('--cert', '/nowhere'),
                        ('--lines', '--replay')):
            self.run_agent(9, *options, status=2)
        self.run_agent(9, file='/nowhere', status=2)


if __name__ == '__main__':
    unittest.main()
