"""What bad peers get: refused, counted, one line in the log, no effect."""
import socket
import ssl
import struct
import time
import unittest

import harness
from harness import Peer
from uidrecv1 import Frame, MESSAGES, Record, encode_message, encode_tlv

GOOD = Record('MAP', '10.9.9.9', 'good')
SECOND_US = 1_000_000


def now_us():
    return time.time_ns() // 1000


def raw_tlv(kind, value):
    return struct.pack('>HH', kind, len(value)) + value


class RawRecord:
    """A record whose bytes are given."""
    def __init__(self, data):
        self.data = data

    def encode(self):
        return self.data


class Strangers(harness.StageTest):
    """Who may not come in. Each is counted by its kind."""
    def setUp(self):
        super().setUp()
        self.receiver = self.stage.start_receiver()
        self.port = self.receiver.port

    def goes_away(self, sock):
        """The receiver must end the connection without a word of ours."""
        sock.settimeout(harness.PATIENCE_S)
        try:
            while sock.recv(65536):
                pass
        except OSError as error:
            self.assertNotIsInstance(error, TimeoutError)

    def counted(self, counter, attempt, times=1):
        """Runs an attempt: exactly one counter moves, one line is logged."""
        before, lines = self.receiver.status()[0], len(self.receiver.err.lines)
        attempt()
        deadline = time.monotonic() + harness.PATIENCE_S
        while True:
            after = self.receiver.status()[0]
            if (after[counter] >= before[counter] + times
                    and after['connections'] == 0
                    or time.monotonic() > deadline):
                break
            time.sleep(0.02)
        moved = {key: after[key] - before[key] for key in after
                 if (key.startswith('refused') or key == 'protocol_errors')
                 and after[key] != before[key]}
        self.assertEqual(moved, {counter: times})
        self.assertEqual(after['change'], before['change'])
        self.assertEqual(after['sessions'], 0)
        self.assertEqual(self.stage.everybody(), {})
        self.receiver.err.wait(' WARNING ', lines)
        logged = [line for line in self.receiver.err.lines[lines:]
                  if ' WARNING ' in line]
        self.assertEqual(len(logged), times, logged)
        self.assertIn('127.0.0.1', logged[0])
        return logged[0]

    def with_client(self, client):
        def attempt():
            with Peer(self.stage, self.port, client) as peer:
                with self.assertRaises((ssl.SSLError, OSError)):
                    while peer.next():
                        pass
        return attempt

    def test_no_certificate(self):
        def attempt():
            with Peer(self.stage, self.port, has_certificate=False) as peer:
                with self.assertRaisesRegex(ssl.SSLError, 'ALERT'):
                    peer.next()
        self.counted('refused_certificate', attempt)

    def test_I01_expired_or_not_yet_valid(self):
        for start, end in (-9, -1), (1, 9):
            client = self.stage.authority.issue(harness.AGENT, start=start,
                                                end=end)
            self.counted('refused_certificate', self.with_client(client))

    def test_I03_wrong_authority(self):
        other = harness.Authority(self.stage.dir / 'other')
        client = other.issue(harness.AGENT)
        self.counted('refused_certificate', self.with_client(client))

    def test_I04_not_on_the_list(self):
        for name in 'stranger.example', 'x.agent.example', 'agent.exampl':
            client = self.stage.authority.issue(name)

            def attempt():
                with Peer(self.stage, self.port, client) as peer:
                    self.assertEqual(peer.next()[0], 'HELLO')
                    bye, _, fields = peer.next()
                    self.assertEqual((bye, fields['REASON'][0]), ('BYE', 300))
                    self.goes_away(peer.socket)
            self.assertIn(name, self.counted('refused_identity', attempt))

    def test_I04_wildcards_and_common_names_are_nothing(self):
        for sans in 'DNS:*.example', 'DNS:*', 'email:agent@example':
            client = self.stage.authority.issue(harness.AGENT, sans)

            def attempt():
                with Peer(self.stage, self.port, client) as peer:
                    self.goes_away(peer.socket)
            self.counted('refused_identity', attempt)

    def test_I05_wrong_usage(self):
        for usage in 'serverAuth', 'emailProtection':
            client = self.stage.authority.issue(harness.AGENT, usage=usage)
            self.counted('refused_certificate', self.with_client(client))

    def test_I02_I06_revocation(self):
        self.receiver.stop()
        crl = self.stage.authority.crl(self.stage.dir / 'crl.pem')
        self.receiver = self.stage.start_receiver(crl=crl)
        self.port = self.receiver.port
        with Peer(self.stage, self.port) as peer:
            peer.open()
        client = self.stage.authority.issue(harness.AGENT)
        self.stage.authority.revoke(client[0])
        self.stage.authority.crl(self.stage.dir / 'crl.pem')
        self.assertTrue(self.receiver.reload())
        self.counted('refused_certificate', self.with_client(client))

    def test_wrong_alpn_or_none(self):
        for alpn in 'h2', 'uidrecv/2', 'uidrecv', None:
            def attempt():
                try:
                    with Peer(self.stage, self.port, alpn=alpn) as peer:
                        self.goes_away(peer.socket)
                except (ssl.SSLError, OSError):
                    pass
            self.counted('refused_tls', attempt)

    def test_N16_old_tls(self):
        def attempt():
            with self.assertRaises((ssl.SSLError, OSError)):
                Peer(self.stage, self.port, version=ssl.TLSVersion.TLSv1_2)
        self.counted('refused_tls', attempt)

    def test_N16_plaintext(self):
        hello = encode_message('HELLO', VERSIONS=(1, 1)).encode()
        old = b'\x80\x2e\1\3\1\0\x15\0\0\0\x10' + bytes(37)  # SSLv2's hello
        for data in hello, b'GET / HTTP/1.0\r\n\r\n', old, bytes(5):
            def attempt():
                with socket.create_connection(('127.0.0.1', self.port)) as raw:
                    raw.sendall(data)
                    self.goes_away(raw)
            self.counted('refused_tls', attempt)

    def test_N04_silence(self):
        def attempt():
            started = time.monotonic()
            with socket.create_connection(('127.0.0.1', self.port)) as raw:
                self.goes_away(raw)
            self.assertAlmostEqual(time.monotonic() - started, 10, delta=2)
        self.counted('refused_timeout', attempt)

    def test_agents_are_told_why(self):
        stranger = self.stage.authority.issue('stranger.example')
        other = harness.Authority(self.stage.dir / 'other')
        for kind in harness.AGENT_KINDS:
            for client, word in ((stranger, '(?i)not-authorized|list'),
                                 (other.issue(harness.AGENT),
                                  '(?i)certificate|unknown ca')):
                agent = self.stage.start_agent(kind, self.port, client)
                self.assertEqual(agent.wait(), 3, (kind, agent.err.lines))
                self.assertRegex('\n'.join(agent.err.lines), word)

    def test_agents_check_the_receiver(self):
        for kind in harness.AGENT_KINDS:
            arguments = self.stage.agent_arguments(kind, self.port)
            arguments[arguments.index('--name') + 1] = 'firewall.example'
            if kind == 'agent.py':
                arguments += ['--lines', '-']
            agent = self.stage.keep(harness.Agent(arguments))
            agent.say('map 10.0.0.1 alice')
            if kind == 'agent.py':
                self.assertEqual(agent.wait(), 3)
            else:
                self.assertIsNotNone(agent.err.wait('identity|name'),
                                     agent.err.lines)
            self.assertEqual(self.stage.everybody(), {})


class Framing(harness.StageTest):
    """A bad frame ends the session, with a reason and the frame's header."""
    def setUp(self):
        super().setUp()
        self.receiver = self.stage.start_receiver()

    def peer(self):
        return Peer(self.stage, self.receiver.port)

    def ended(self, peer, code, frame=None):
        """BYE with the code must come, then the end."""
        message = peer.next()
        while message and message[0] in ('ACK', 'KEEPALIVE'):
            message = peer.next()
        self.assertIsNotNone(message, f'closed without BYE {code}')
        name, _, fields = message
        self.assertEqual((name, fields['REASON'][0]), ('BYE', code), fields)
        if frame is not None:
            data = frame if isinstance(frame, bytes) else frame.encode()
            self.assertEqual(fields.get('QUOTE'), data[:16])
        self.assertIsNone(peer.next())

    def bad(self, code, make):
        """A bad frame after a good one: the good one stays."""
        with self.peer() as peer:
            peer.open(session=time.monotonic_ns())
            peer.send(peer.update(GOOD))
            self.assertEqual(peer.next()[:2], ('ACK', peer.serial))
            frame = make(peer)
            peer.send(frame)
            self.ended(peer, code, frame)
        self.assertEqual(self.stage.everybody(), {'10.9.9.9': 'good'})

    def body(self, **changes):
        """An UPDATE with a good record, to be made bad."""
        fields = dict(AS_OF=now_us())
        return encode_message('UPDATE', 2, [Record('MAP', '10.6.6.6', 'evil')],
                              **{**fields, **changes})

    def test_P01_lengths(self):
        for length in 65537, 1 << 31, (1 << 31) - 1, (1 << 32) - 1:
            self.bad(203, lambda peer: struct.pack(
                '>BBHIQ', 1, 3, 0, length, 2))

    def test_header_fields(self):
        body = self.body().body
        self.bad(200, lambda peer: Frame(3, 2, body, version=0))
        self.bad(200, lambda peer: Frame(3, 2, body, version=2))
        self.bad(202, lambda peer: Frame(3, 2, body, flags=1))
        self.bad(202, lambda peer: Frame(3, 2, body, flags=0x8000))

    def test_P05_unknown_types(self):
        for kind in 0, 13, 127, 255:
            self.bad(201, lambda peer: Frame(kind, 0, b''))

    def test_messages_out_of_state(self):
        self.bad(205, lambda peer: encode_message(
            'READY', VERSION=1, HOLD_TIME=90, DURABLE=0, WINDOW=1))
        for name in ('ACK', 'RESYNC'):
            with self.subTest(name):
                self.bad(205, lambda peer: Frame(MESSAGES[name], 0, b''))
        for name, code in (('SNAPSHOT BEGIN', 206), ('SNAPSHOT END', 204),
                           ('REFRESH ALL', 204), ('TS CONFIG', 204)):
            with self.subTest(name):
                self.bad(code, lambda peer: Frame(MESSAGES[name], 0, b''))
        self.bad(205, lambda peer: peer.hello())

    def test_P02_P04_tlvs(self):
        good = self.body().body
        record = Record('MAP', '10.6.6.6', 'evil').encode()
        as_of = encode_tlv('AS_OF', now_us())
        for name, body in (
                ('no records', as_of), ('no AS_OF', record), ('empty', b''),
                ('half a TLV', good + b'\x80'),
                ('reaches past the end', good + b'\x80\x20\0\5abcd'),
                ('cut', good[:-1]),
                ('AS_OF twice', as_of + good),
                ('AS_OF too short', raw_tlv(0x8010, b'1234567') + record),
                ('AS_OF too long', raw_tlv(0x8010, b'123456789') + record),
                ('unknown critical', good + raw_tlv(0xff00, b'')),
                ('of another message', good + raw_tlv(0x8006, b'\0\x0a')),
                ('1,025 records', as_of + record * 1025)):
            with self.subTest(name):
                self.bad(204, lambda peer: Frame(3, 2, body))

    def test_unknown_optional_is_skipped(self):
        with self.peer() as peer:
            peer.open()
            frame = peer.update(GOOD)
            peer.send(Frame(3, 1, raw_tlv(0x7f00, b'news') + frame.body))
            self.assertEqual(peer.next()[:2], ('ACK', 1))
        self.assertEqual(self.stage.everybody(), {'10.9.9.9': 'good'})

    def test_serials(self):
        for serial in 0, 1 << 63, 4:
            self.bad(206, lambda peer: Frame(3, serial, self.body().body))

    def test_window(self):
        with self.peer() as peer:
            peer.open()
            for _ in range(256):
                peer.send(peer.update(GOOD))
            while peer.next()[1] < 256:
                pass
            # Nothing was reported in ACKED: serial 257 is beyond the window.
            frame = peer.update(GOOD)
            peer.send(frame)
            self.ended(peer, 207, frame)

    def test_before_ready(self):
        hello = Peer.hello(None)
        for code, frame in (
                (205, self.body()), (205, encode_message('KEEPALIVE',
                                                         CLOCK=(1, 0, 0))),
                (203, Frame(1, 0, b'\0' * 4097)), (204, Frame(1, 0, b'')),
                (305, Frame(1, 0, hello.body + raw_tlv(0xff00, b''))),
                (204, Frame(1, 0, hello.body[:-1])),
                (201, Frame(99, 0, b''))):
            with self.subTest(code), self.peer() as peer:
                self.assertEqual(peer.next()[0], 'HELLO')
                peer.send(frame)
                self.ended(peer, code)
        self.assertEqual(self.stage.everybody(), {})

    def test_hello_that_does_not_fit(self):
        for code, changes in ((301, dict(VERSIONS=(2, 3))),
                              (304, dict(HOLD_RANGE=(100, 300))),
                              (304, dict(HOLD_RANGE=(1, 2))),
                              (204, dict(SESSION=0)),
                              (204, dict(FRAME_MAX=4095))):
            with self.subTest(changes), self.peer() as peer:
                peer.next()
                peer.send(peer.hello(**changes))
                self.ended(peer, code)
        with self.peer() as peer:
            _, _, sink = peer.next()
            peer.send(encode_message('HELLO', **{**sink, 'ROLE': 2}))
            self.ended(peer, 302)

    def test_higher_version_in_hello_is_read(self):
        with self.peer() as peer:
            peer.next()
            body = peer.hello(VERSIONS=(1, 9)).body
            peer.send(Frame(1, 0, body, version=9))
            name, _, fields = peer.next()
            self.assertEqual((name, fields['VERSION']), ('READY', 1))

    def test_N05_byte_by_byte(self):
        with self.peer() as peer:
            peer.socket.settimeout(harness.PATIENCE_S)
            peer.next()
            for byte in peer.hello().encode():
                peer.send(bytes([byte]))
            self.assertEqual(peer.next()[0], 'READY')
            for byte in peer.update(GOOD).encode():
                peer.send(bytes([byte]))
            self.assertEqual(peer.next()[:2], ('ACK', 1))
        self.assertEqual(self.stage.everybody(), {'10.9.9.9': 'good'})

    def test_N11_P06_cut_frames_have_no_effect(self):
        frame = encode_message('UPDATE', 1, [Record('MAP', '10.6.6.6', 'evil')],
                               AS_OF=now_us()).encode()
        for size in range(0, len(frame), 7):
            with self.peer() as peer:
                peer.open(session=1)
                peer.send(frame[:size])
                peer.socket.shutdown(socket.SHUT_RDWR)
        self.assertEqual(self.stage.everybody(), {})
        self.assertEqual(self.receiver.status()[0]['records'], 0)

    def test_protocol_errors_are_counted(self):
        with self.peer() as peer:
            peer.open()
            peer.send(Frame(99, 0, b''))
            self.ended(peer, 201)
        self.assertEqual(self.receiver.status()[0]['protocol_errors'], 1)


class Records(harness.StageTest):
    """A bad record is refused by its code; the good around it apply."""
    LIMITED = ('agent.example 10.0.0.0/8 2001:db8::/32 domains=CORP '
               'mappings_max=50\n')

    def setUp(self):
        super().setUp()
        self.stage.agents.write_text(self.LIMITED)
        self.receiver = self.stage.start_receiver()
        self.count = 0

    def refused(self, *pairs, as_of=None):
        """Sends (code, record) pairs between good records."""
        with Peer(self.stage, self.receiver.port) as peer:
            peer.open(session=time.monotonic_ns())
            records, codes = [], {}
            for code, record in pairs:
                records.append(self.good())
                codes[len(records)] = code
                records.append(record)
            records.append(self.good())
            peer.send(peer.update(*records, AS_OF=as_of or now_us()))
            found = {}
            name, serial, fields = peer.next()
            while name == 'REJECT':
                for index, code, text in fields['REFUSED']:
                    found[index] = code
                    self.assertTrue(text.isprintable())
                self.assertEqual(serial, peer.serial)
                name, serial, fields = peer.next()
            self.assertEqual((name, serial), ('ACK', peer.serial))
            self.assertEqual(found, codes)
        users = self.stage.everybody()
        self.assertEqual(set(users.values()), {r'CORP\good'})
        self.assertEqual(len(users), self.count)

    def good(self):
        self.count += 1
        return Record('MAP', f'10.9.0.{self.count}', r'CORP\good')

    def map(self, address='10.6.6.6', user=r'CORP\evil', **more):
        return Record('MAP', address, user, **more)

    def raw(self, op, *tlvs):
        return RawRecord(raw_tlv(op, b''.join(raw_tlv(*tlv) for tlv in tlvs)))

    def test_1_malformed(self):
        address, user = (0x8030, b'\x0a\6\6\6'), (0x8031, b'CORP\\evil')
        self.refused(
            (1, self.raw(0x8020)), (1, self.raw(0x8020, address)),
            (1, self.raw(0x8020, user)),
            (1, self.raw(0x8020, address, user, user)),
            (1, self.raw(0x8020, (0x8030, b'\x0a\6\6'), user)),
            (1, self.raw(0x8020, (0x8030, b'1' * 17), user)),
            (1, self.raw(0x8020, address, user, (0x8033, b'\1'))),
            (1, RawRecord(raw_tlv(0x8020, b'\x80\x30\0\x09abc'))),
            (1, self.raw(0x8023)))

    def test_2_unsupported(self):
        address, user = (0x8030, b'\x0a\6\6\6'), (0x8031, b'CORP\\evil')
        self.refused(
            (2, self.raw(0x8020, address, user, (0xff01, b''))),
            (2, self.raw(0x8020, address, user, (0x8016, b'\0\0\0\1'))),
            (2, self.raw(0x8023, address, user)),
            (2, self.raw(0x8024, address, user)))

    def test_P13_3_address_invalid(self):
        self.refused(*((3, self.map(address)) for address in (
            '0.0.0.0', '0.1.2.3', '224.0.0.1', '239.255.255.255', '240.0.0.1',
            '255.255.255.255', '::', '::2', '::10.1.2.3', 'ff02::1',
            '::ffff:224.0.0.1')))

    def test_I09_4_address_not_allowed(self):
        self.refused(*((4, self.map(address)) for address in (
            '127.0.0.1', '::1', '169.254.1.1', 'fe80::1', '9.255.255.255',
            '11.0.0.0', '2001:db7:ffff::', '2001:db9::', '::ffff:11.0.0.1')))

    def test_P08_P09_P10_5_user_invalid(self):
        self.refused(*((5, self.map(user=user)) for user in (
            '', 'CORP\\a\0b', 'CORP\\a\nb', 'CORP\\\x1b[31m', 'CORP\\\x7f',
            'CORP\\\x85', 'CORP\\\u200e', 'CORP\\\u202e', 'CORP\\\u2066',
            'CORP\\\udcff', 'CORP\\\udcc0\udc80', 'CORP\\\udced\udca0\udc80',
            'CORP\\\udcf4\udc90\udc80\udc80')))

    def test_P11_6_user_too_long(self):
        self.refused((6, self.map(user='CORP\\' + 'x' * 251)),
                     (6, self.map(user='CORP\\' + 'x' * 3000)))
        with Peer(self.stage, self.receiver.port) as peer:
            peer.open(session=2)
            longest = 'CORP\\' + 'x' * 250
            peer.send(peer.update(self.map('10.1.1.1', longest)))
            self.assertEqual(peer.next()[0], 'ACK')
        self.assertEqual(self.stage.everybody()['10.1.1.1'], longest)

    def test_7_domain_not_allowed(self):
        self.refused(*((7, self.map(user=user)) for user in (
            'evil', r'OTHER\evil', 'evil@OTHER', r'CORPS\evil', r'\evil',
            'CORP', r'OTHER\CORP\evil', r'OTHER\evil@CORP')))

    def test_P15_8_lifetime_not_allowed(self):
        self.refused(*((8, self.map(lifetime_s=lifetime)) for lifetime in (
            0, 86401, 1 << 31, (1 << 32) - 2, (1 << 32) - 1)))

    def test_P16_9_time_in_future(self):
        self.refused(*((9, self.map(event_time_us=when)) for when in (
            now_us() + 60 * SECOND_US, now_us() + 400 * 86400 * SECOND_US,
            1 << 62, (1 << 62) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)))

    def test_P16_9_as_of_in_future(self):
        with Peer(self.stage, self.receiver.port) as peer:
            peer.open()
            for when in now_us() + 60 * SECOND_US, 1 << 62, (1 << 64) - 1:
                peer.send(peer.update(self.map(), AS_OF=when))
                name, serial, fields = peer.next()
                self.assertEqual((name, serial), ('REJECT', peer.serial))
                self.assertEqual(fields['REFUSED'][0][:2], (0, 9))
                self.assertEqual(peer.next()[:2], ('ACK', peer.serial))
        self.assertEqual(self.stage.everybody(), {})

    def test_10_quota(self):
        with Peer(self.stage, self.receiver.port) as peer:
            peer.open()
            records = [self.map(f'10.6.0.{n}') for n in range(60)]
            peer.send(peer.update(*records))
            name, _, fields = peer.next()
            self.assertEqual(name, 'REJECT')
            self.assertEqual([item[:2] for item in fields['REFUSED']],
                             [(n, 10) for n in range(50, 60)])
            self.assertEqual(peer.next()[0], 'ACK')
            # Who is there already may be told again.
            peer.send(peer.update(records[0], Record('WITHDRAW', '10.6.0.1'),
                                  records[59]))
            self.assertEqual(peer.next()[0], 'ACK')
        self.assertEqual(len(self.stage.everybody()), 50)

    def test_12_not_found(self):
        self.refused((12, Record('REFRESH', '10.6.6.6')),
                     (12, Record('REFRESH', '10.9.0.1', r'CORP\other')))

    def test_T02_13_14_ports(self):
        address, user = (0x8030, b'\x0a\6\6\6'), (0x8031, b'CORP\\evil')
        self.refused(*(
            (code, self.raw(0x8020, address, user,
                            (0x8015, struct.pack('>HI', *ports))))
            for code, ports in (
                (13, (0, 0)), (13, (1, 65536)), (13, (65535, 2)),
                (13, (65535, (1 << 32) - 1)), (13, (20000, 1 << 16)),
                (14, (0, 65536)), (14, (65535, 1)), (14, (20000, 200)))))

    def test_rejects_are_counted_and_come_again(self):
        frame = None
        for _ in range(2):
            with Peer(self.stage, self.receiver.port) as peer:
                peer.open(session=5)
                peer.serial = 0
                frame = frame or peer.update(self.map('127.0.0.1'))
                peer.send(frame)
                self.assertEqual(peer.next()[:2], ('REJECT', 1))
                self.assertEqual(peer.next()[:2], ('ACK', 1))
        counters, agents = self.receiver.status()
        self.assertEqual(counters['rejected'], 1)
        self.assertEqual(counters['duplicates'], 1)
        self.assertEqual(agents[harness.AGENT]['rejected'], '1')

    def test_P12_one_address_in_two_spellings(self):
        mapped = bytes(10) + b'\xff\xff\x0a\7\7\7'
        with Peer(self.stage, self.receiver.port) as peer:
            peer.open()
            peer.send(peer.update(self.raw(
                0x8020, (0x8030, mapped), (0x8031, b'CORP\\v6'))))
            self.assertEqual(peer.next()[0], 'ACK')
        self.assertEqual(self.stage.everybody(), {'10.7.7.7': r'CORP\v6'})
        lookup = self.stage.start_lookup()
        for spelling in '10.7.7.7', '::ffff:10.7.7.7', '::ffff:a07:707':
            self.assertEqual(lookup.user(spelling), r'CORP\v6')


if __name__ == '__main__':
    unittest.main()
