"""examples/ts_agent.py against firewalls that note whatever is against
doc/protocol.md (block_sink.py); each test looks that they have noted nothing.
"""
# Needs nothing that is built.
# Mostly waits.
import contextlib
import random
import signal
import socket
import ssl
import struct
import time
import unittest

from ts_stage import TsAgent, harness
from block_sink import ALL, BlockSink
from fake_sink import FakeDialer
import uidrecv1 as wire

SYSTEM = '10.0.0.7 20000+2000 200 reserve=20350+10 alias=2001:db8::7'
NAMES = ('fw1.example', 'fw2.example')


class AgentTest(harness.StageTest):
    def setUp(self):
        super().setUp()
        self.certificates = {
            name: self.stage.authority.issue(name, usage='clientAuth')
            for name in NAMES}
        self.agent_certificate = self.stage.authority.issue(
            harness.AGENT, usage='serverAuth')
        self.dialers = []

    def start(self, *more, system=SYSTEM):
        self.agent = TsAgent(self.stage, self.agent_certificate, NAMES,
                             '--system', system, *more)
        return self.agent

    def dial(self, name=NAMES[0], **options):
        self.port = self.agent.port
        dialer = FakeDialer(self.stage, self.port, self.certificates[name],
                            BlockSink, **options)
        self.addCleanup(dialer.close)
        self.dialers.append(dialer)
        return dialer

    def end(self):
        """Ends the agent, and looks that all was right."""
        self.agent.signal(signal.SIGTERM)
        self.assertEqual(self.agent.wait(), 0, self.agent.err.lines)
        self.assertFalse([line for line in self.agent.err.lines
                          if 'Traceback' in line], self.agent.err.lines)
        for dialer in self.dialers:
            with dialer.changed:
                self.assertEqual(dialer.sink.wrong, [])

    def lines(self, *patterns):
        for pattern in patterns:
            self.agent.need(pattern)

    def no_line(self, pattern, within=0.3):
        self.assertIsNone(self.agent.out.wait(pattern, timeout=within))

    @staticmethod
    def users(dialer, users):
        """Waits until the firewall has these."""
        dialer.wait(lambda sink: sink.users == users and sink.state == 'open')


class BlocksTest(AgentTest):
    def test_the_system_comes_first_and_the_user_after_the_ack(self):
        agent = self.start()
        fw = self.dial(acks=False)
        fw.wait(lambda sink: len(sink.said) == 3)
        agent.say(r'USER CORP%5Calice 20000+200', r'USER bob 20600+200')
        self.users(fw, {20000: 'CORP\\alice', 20600: 'bob'})
        with fw.changed:
            names = [name for name, *_ in fw.sink.stream()]
            self.assertEqual(fw.sink.system, wire.System(
                '10.0.0.7', (20000, 2000), 200, ((20350, 10),),
                ('2001:db8::7',)))
            self.assertEqual(fw.sink.said[1][0], 'TS CONFIG')
        self.assertEqual(names, ['TS CONFIG', 'SNAPSHOT BEGIN', 'SNAPSHOT END',
                                 'MAP', 'MAP'])
        self.no_line('^given')
        fw.do('ack', 4)
        self.lines(r'^given 20000\+200 CORP\\alice$')
        self.no_line('bob')
        fw.do('ack')
        self.lines(r'^given 20600\+200 bob$')
        agent.say('FREE 20000+200')
        self.users(fw, {20600: 'bob'})
        self.end()
        with fw.changed:
            self.assertEqual(fw.sink.bye_code, 100)

    def test_what_was_read_before_is_in_the_first_snapshot(self):
        self.start().say('USER a 20000+200', 'USER b 20400+200',
                         'FREE 20000+200', 'USER c 20800+200')
        fw = self.dial()
        self.users(fw, {20400: 'b', 20800: 'c'})
        with fw.changed:
            self.assertEqual(fw.sink.said[4], ('SNAPSHOT END', {'COUNT': 2}))
        self.end()

    def test_commands_that_change_nothing(self):
        wrong = {'USER x 20001+200': 'not a block',
                 'USER x 20000+100': 'not a block',
                 'USER x 20200+200': 'reserved',
                 'USER x 22000+200': 'outside the range',
                 'USER x 19800+200': 'outside the range',
                 'USER x 20000+0': 'write START', 'USER x 65535+2': 'write',
                 'USER x 20000': 'write START', 'USER x -1+200': 'write',
                 'USER 20000+200': 'write SYSTEM', 'nonsense': 'write SYSTEM',
                 'FREE 20000+200': 'nobody has it', 'FREE 1+1': 'nobody',
                 'SYSTEM': 'write ADDRESS', 'SYSTEM 10.0.0.7 1+5 6': 'at most',
                 'SYSTEM host 1+5 1': 'host', 'SYSTEM 10.0.0.7 0+65537 1':
                 'write START', 'SYSTEM 10.0.0.7 1+5 1 more=1': 'write',
                 'USER y 20400+200': 'FREE it first'}
        agent = self.start()
        fw = self.dial()
        agent.say('USER x 20400+200', *wrong, '# comment', '')
        for line, text in enumerate(wrong.values(), 2):
            self.lines(f'^bad {line} .*{text}')
        agent.say('USER y 20600+200')
        self.users(fw, {20400: 'x', 20600: 'y'})
        with fw.changed:
            self.assertEqual(len(fw.sink.stream()), 5)
        self.end()

    def test_a_refused_block_is_not_used(self):
        agent = self.start('--rest', '900')
        fw = self.dial()
        self.lines('^fw1.example acked 3$')
        fw.sink.refuse = lambda part: getattr(part, 'user', '') == 'x' and 10
        agent.say('USER x 20000+200')
        self.lines(r'^fw1.example rejected 1 QUOTA', r'^refused 20000\+200 x',
                   r'^free 20000\+200')
        agent.say('USER y 20000+200')
        self.lines(r'^given 20000\+200 y')
        self.assertFalse(agent.out.wait('^given .* x', timeout=0.01))
        with fw.changed:
            self.assertEqual([op for op, *_ in fw.sink.stream()][-3:],
                             ['MAP', 'WITHDRAW', 'MAP'])
        self.end()

    def test_T05_a_free_block_rests(self):
        agent = self.start('--rest', '1')
        fw = self.dial()
        agent.say('USER x 20000+200')
        self.lines(r'^given 20000\+200 x')
        began = time.monotonic()
        agent.say('FREE 20000+200', 'USER y 20000+200')
        self.lines('^bad 3 it rests')
        self.lines(r'^free 20000\+200')
        self.assertGreater(time.monotonic() - began, 0.99)
        agent.say('USER y 20000+200')
        self.users(fw, {20000: 'y'})
        self.end()

    def test_everything_is_kept_alive(self):
        agent = self.start('--lifetime', '1')
        fw = self.dial()
        agent.say('USER x 20000+200', 'USER y 20400+200')
        fw.wait(lambda sink: sink.refreshes > 2)
        agent.say('FREE 20000+200')
        self.users(fw, {20400: 'y'})
        count = fw.wait(lambda sink: sink.refreshes)
        fw.wait(lambda sink: sink.refreshes > count + 2)
        with fw.changed:
            self.assertEqual(len(fw.sink.snapshot()), 2)
            self.assertEqual([op for op, _ in fw.sink.said.values()].count(
                'SNAPSHOT BEGIN'), 1)
        self.end()

    def test_resync(self):
        agent = self.start()
        fw = self.dial()
        self.lines('^fw1.example acked 3$')
        agent.say('USER x 20000+200')
        self.users(fw, {20000: 'x'})
        event_time = fw.wait(lambda sink: sink.said[4][1]['records'][
            0].event_time_us)
        fw.do('resync', 1, 'line\nbreak')
        self.lines(r'^fw1.example resync COUNT line\?break')
        fw.wait(lambda sink: sink.snapshot()[1] > 4)
        with fw.changed:
            self.assertEqual(fw.sink.stream()[4:], [
                ('TS CONFIG', None), ('SNAPSHOT BEGIN', None),
                ('MAP', '10.0.0.7', 'x'), ('SNAPSHOT END', 1)])
            self.assertEqual(fw.sink.said[7][1]['records'][0].event_time_us,
                             event_time)
        self.end()

    def test_other_ports_end_all_blocks(self):
        agent = self.start('--rest', '0')
        fw = self.dial()
        agent.say('USER x 20000+200', 'USER y 20400+200')
        self.lines(r'^given 20400\+200')
        agent.say('SYSTEM 10.0.0.7 20000+2000 100', 'USER z 21000+100')
        self.lines(r'^given 21000\+100 z', r'^free 20000\+100',
                   r'^free 20500\+100')
        agent.say('USER y 20500+100')
        self.users(fw, {21000: 'z', 20500: 'y'})
        self.end()

    def test_another_address_keeps_the_blocks(self):
        agent = self.start()
        fw = self.dial()
        agent.say('USER x 20000+200')
        self.lines(r'^given 20000\+200')
        agent.say('SYSTEM 10.0.0.8 20000+2000 200 reserve=20350+10 '
                  'reserve=20350+10')
        fw.wait(lambda sink: sink.system and sink.system.address == '10.0.0.8'
                and len(sink.stream()) == 6)
        agent.say('FREE 20000+200')
        self.users(fw, {})
        self.end()

    def test_made_up_users_are_the_same_again(self):
        heard = []
        for _ in range(2):
            self.start('--simulate', '5', '--seed', '7', '--every', '0.01',
                       system='10.0.0.7 20000+20000 200')
            fw = self.dial()
            fw.wait(lambda sink: len(sink.stream()) > 60)
            with fw.changed:
                heard.append([what for what in fw.sink.stream()
                              if what[0] in ('MAP', 'WITHDRAW')][:40])
            self.end()
            fw.close()
            self.dialers.clear()
        self.assertIn(('WITHDRAW', '10.0.0.7', None), heard[0])
        self.assertEqual(heard[0], heard[1])


class FirewallsTest(AgentTest):
    def test_both_have_to_acknowledge(self):
        agent = self.start()
        one, two = self.dial(), self.dial(NAMES[1], acks=False)
        self.lines('^fw1.example up', '^fw2.example up')
        agent.say('USER x 20000+200')
        self.users(one, {20000: 'x'})
        self.users(two, {20000: 'x'})
        self.no_line('^given')
        two.do('ack')
        self.lines(r'^given 20000\+200 x')
        self.end()

    def test_one_is_enough_while_the_other_is_away(self):
        agent = self.start()
        agent.say('USER x 20000+200')
        one, two = self.dial(), self.dial(NAMES[1])
        self.lines('^fw1.example up', '^fw2.example up')
        one.go_away()
        self.lines('^fw1.example down')
        agent.say('USER y 20400+200')
        self.lines(r'^given 20400\+200 y')
        two.go_away()
        self.lines('^fw2.example down')
        agent.say('USER z 20600+200')
        self.no_line('^given 20600')
        one.come_back()
        self.lines(r'^given 20600\+200 z')
        two.come_back()
        for dialer in one, two:
            self.users(dialer, {20000: 'x', 20400: 'y', 20600: 'z'})
            with dialer.changed:
                self.assertEqual(len({hello['SESSION'] for hello
                                      in dialer.sink.hellos}), 1)
        self.end()

    def test_T05_a_block_rests_until_a_firewall_that_is_away_knows(self):
        agent = self.start('--rest', '0')
        agent.say('USER x 20000+200')     # in the snapshot, the other after it
        one, two = self.dial(), self.dial(NAMES[1])
        self.lines('^fw1.example up', '^fw2.example up')
        agent.say('USER y 20400+200')
        self.lines(r'^given 20000\+200 x', r'^given 20400\+200 y')
        two.go_away()
        self.lines('^fw2.example down')
        agent.say('FREE 20000+200', 'FREE 20400+200')
        self.users(one, {})
        self.no_line('^free')
        two.come_back()
        self.lines(r'^free 20000\+200', r'^free 20400\+200')
        self.end()

    def test_T05_or_until_its_life_is_over(self):
        agent = self.start('--rest', '0', '--lifetime', '1')
        one, two = self.dial(), self.dial(NAMES[1])
        self.lines('^fw1.example up', '^fw2.example up')
        agent.say('USER x 20000+200')
        self.lines(r'^given 20000\+200 x')
        two.go_away()
        self.lines('^fw2.example down')
        agent.say('FREE 20000+200')
        self.lines(r'^free 20000\+200')
        self.end()

    def test_away_for_too_long(self):
        agent = self.start('--queue', '3', '--rest', '0')
        one, two = self.dial(), self.dial(NAMES[1])
        self.lines('^fw1.example up', '^fw2.example up')
        two.go_away()
        self.lines('^fw2.example down')
        for n in range(5):
            agent.say(f'USER u{n} {20400 + n * 200}+200')
        self.users(one, {20400 + n * 200: f'u{n}' for n in range(5)})
        self.assertTrue(agent.err.wait('away for too long'))
        two.come_back()
        self.users(two, {20400 + n * 200: f'u{n}' for n in range(5)})
        with two.changed:
            self.assertEqual(two.sink.stream()[3:5], [
                ('TS CONFIG', None), ('SNAPSHOT BEGIN', None)])
        self.end()

    def test_who_refuses_the_system_is_left_out(self):
        agent = self.start('--lifetime', '3')
        one, two = self.dial(), self.dial(NAMES[1])
        self.lines('^fw1.example acked 3$', '^fw2.example acked 3$')
        with two.changed:
            two.sink.refuse = lambda part: (
                14 if isinstance(part, wire.System) else 15)
        two.do('resync')
        self.lines('^fw2.example rejected 0 MULTI-USER-NOT-ALLOWED')
        agent.say('USER x 20000+200')
        self.lines(r'^given 20000\+200 x')
        with two.changed:
            two.sink.refuse = None
        self.users(two, {20000: 'x'})     # told anew at the next refresh
        self.end()

    def test_who_has_lost_everything(self):
        agent = self.start()
        fw = self.dial()
        agent.say('USER x 20000+200')
        self.lines(r'^given 20000\+200 x')
        fw.go_away()
        self.lines('^fw1.example down')
        agent.say('USER y 20400+200')
        fw.sink.lose()
        fw.sink.refuse = lambda part: (
            not isinstance(part, wire.System) and not fw.sink.system and 15)
        fw.come_back()
        # Nothing but the refusal says that the system is lost.
        self.users(fw, {20000: 'x', 20400: 'y'})
        self.lines(r'^given 20400\+200 y')
        with fw.changed:
            # The page allows it to notice the gap; a block before TS CONFIG
            # is what the source could not know of.
            self.assertEqual(
                [text for text in fw.sink.wrong if 'ACKED of' not in text
                 and 'gap' not in text and 'before TS' not in text], [])
            fw.sink.wrong.clear()
        self.end()

    def test_who_takes_no_multi_user_systems(self):
        agent = self.start()
        fw = self.dial(capabilities=wire.SNAPSHOT | wire.REFRESH_ALL)
        other = self.dial(NAMES[1], capabilities=wire.PORTS)
        self.assertTrue(agent.err.wait('fw1.example takes no multi-user'))
        agent.say('USER x 20000+200')
        self.lines(r'^given 20000\+200 x')
        with fw.changed:
            self.assertEqual(fw.sink.said, {})
        with other.changed:
            self.assertEqual([op for op, *_ in other.sink.stream()],
                             ['TS CONFIG', 'MAP'])
        self.end()

    def test_who_no_longer_takes_them(self):
        agent = self.start()
        fw = self.dial(acks=False)
        agent.say('USER x 20000+200')
        self.users(fw, {20000: 'x'})
        fw.go_away()
        self.lines('^fw1.example down')
        fw.sink.capabilities = wire.SNAPSHOT
        fw.come_back()
        self.assertTrue(agent.err.wait('takes no multi-user'))
        fw.wait(lambda sink: sink.state == 'open' and not sink.said)
        fw.go_away()
        fw.sink.capabilities, fw.sink.acks = ALL, True
        fw.come_back()
        self.lines(r'^given 20000\+200 x')
        self.end()

    def test_a_final_goodbye_is_not_final_for_who_listens(self):
        self.start()
        fw = self.dial()
        self.lines('^fw1.example up')
        fw.do('send', 'BYE', REASON=(303, 'no\nmore'))
        self.lines(r'^fw1.example down .*303 no\?more')
        fw.do('drop')
        fw.wait(lambda sink: len(sink.hellos) > 1 and sink.state == 'open')
        self.end()

    def test_the_newer_connection_of_a_firewall_counts(self):
        agent = self.start()
        one = self.dial()
        self.lines('^fw1.example up')
        again = FakeDialer(self.stage, self.port,
                           self.certificates[NAMES[0]], BlockSink)
        one.wait(lambda sink: sink.bye_code == 104)
        one.go_away()
        again.wait(lambda sink: sink.state == 'open')
        agent.say('USER x 20000+200')
        self.users(again, {20000: 'x'})
        again.close()
        self.end()


class CutTest(AgentTest):
    def test_cuts_at_random(self):
        rand = random.Random(3)
        agent = self.start('--rest', '0', '--lifetime', '2')
        fws = [self.dial(name, window=rand.choice((1, 3, 256)))
               for name in NAMES]
        self.lines('^fw1.example up', '^fw2.example up')
        starts = [start for start in range(20000, 22000, 200)
                  if start != 20200]
        users = {}
        for n in range(60):
            for fw in fws:
                if rand.random() < 0.5:
                    fw.cut_soon(rand)
            start = rand.choice(starts)
            if start in users:
                agent.say(f'FREE {start}+200')
                line = len(agent.out.lines)
                del users[start]
                agent.need(rf'^free {start}\+', max(0, line - 3))
            else:
                line = len(agent.out.lines)
                agent.say(f'USER u{n} {start}+200')
                users[start] = f'u{n}'
                agent.need(rf'^given {start}\+200 u{n}$', line)
        for fw in fws:
            with fw.changed:
                fw.cut_in = fw.cut_out = None
            self.users(fw, users)
            with fw.changed:
                self.assertGreater(fw.connections, 3)
                self.assertEqual(len({hello['SESSION'] for hello
                                      in fw.sink.hellos}), 1)
        self.end()


class StrangersTest(AgentTest):
    def peer(self, certificate=None, alpn=wire.ALPN, side='clientAuth'):
        return harness.Peer(self.stage, self.port, alpn=alpn,
                            client=certificate,
                            has_certificate=certificate is not None)

    def refused(self, **options):
        """What comes back; nobody may be told anything but BYE."""
        with contextlib.suppress(OSError), self.peer(**options) as peer:
            peer.send(wire.encode_message(
                'HELLO', VERSIONS=(1, 1), ROLE=wire.SINK, HOLD_RANGE=(3, 30),
                FRAME_MAX=65536, CLOCK=(1, 0, 0), CAPABILITIES=ALL))
            said = peer.next()
            return said and (said[0], said[2]['REASON'][0])
        return None

    def test_who_is_not_on_the_list(self):
        self.start()
        fw = self.dial()
        self.lines('^fw1.example up')
        issue = self.stage.authority.issue
        for name, sans in (
                ('other', 'DNS:other.example'), ('cn', 'DNS:x,email:a@b.c'),
                ('wild', 'DNS:*.example'), ('more', 'DNS:fw1.example.com'),
                ('ip', 'IP:127.0.0.1')):
            self.assertEqual(self.refused(certificate=issue(name, sans)),
                             ('BYE', 300), name)
        self.assertEqual(self.agent.err.wait('no name of its') is None, False)
        self.assertIsNone(self.refused())
        self.assertIsNone(self.refused(certificate=issue(
            'old', 'DNS:fw1.example', -3, -2)))
        self.assertIsNone(self.refused(certificate=issue(
            'server', 'DNS:fw1.example', usage='serverAuth')))
        other = harness.Authority(self.stage.dir / 'other')
        self.assertIsNone(self.refused(certificate=other.issue(NAMES[0])))
        self.assertIsNone(self.refused(
            certificate=self.certificates[NAMES[0]], alpn=None))
        self.assertIsNone(self.refused(
            certificate=self.certificates[NAMES[0]], alpn='h2'))
        with fw.changed:
            self.assertEqual(fw.connections, 1)
        self.end()

    def test_a_name_is_compared_without_regard_to_case(self):
        self.start()
        self.certificates['upper'] = self.stage.authority.issue(
            'upper', 'URI:x:y,DNS:FW2.Example')
        self.dial('upper').wait(lambda sink: sink.state == 'open')
        self.end()

    def test_garbage_resets_and_silence(self):
        rand = random.Random(9)
        agent = self.start()
        fw = self.dial()
        self.lines('^fw1.example up')
        held = []
        for n in range(150):
            raw = socket.create_connection(('127.0.0.1', self.port))
            if n % 3:
                with contextlib.suppress(OSError):
                    raw.sendall(rand.randbytes(rand.randrange(1, 3000)))
            if n % 2:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack('ii', 1, 0))
                raw.close()
            else:
                held.append(raw)
        # More than it hears out at once: the oldest have to give way.
        held += [socket.create_connection(('127.0.0.1', self.port))
                 for _ in range(80)]
        two = self.dial(NAMES[1])
        agent.say('USER x 20000+200')
        self.users(two, {20000: 'x'})
        self.users(fw, {20000: 'x'})
        for raw in held:
            raw.close()
        with fw.changed:
            self.assertEqual(fw.connections, 1)
        self.end()

    def test_a_firewall_that_misbehaves(self):
        """Garbage, wrong messages and resets after the handshake."""
        self.start()
        fw = self.dial(NAMES[1])
        self.port = fw.port
        certificate = self.certificates[NAMES[0]]
        hello = wire.encode_message(
            'HELLO', VERSIONS=(1, 1), ROLE=wire.SINK, HOLD_RANGE=(3, 30),
            FRAME_MAX=65536, CLOCK=(1, 0, 0), CAPABILITIES=ALL).encode()
        ready = wire.encode_message('READY', VERSION=1, HOLD_TIME=30,
                                    DURABLE=0, WINDOW=5).encode()
        encode = wire.encode_message
        for sent, code in (
                (b'\0' * 16, 200), (b'\xff' * 100, 202), (ready, 205),
                (hello + hello, 205),
                (hello + encode('READY', VERSION=1, HOLD_TIME=30, DURABLE=9,
                                WINDOW=5).encode(), 206),
                (hello + ready + encode('ACK', 99).encode(), 206),
                (hello + ready + encode('TS CONFIG', 1, ADDRESS='10.0.0.7',
                                        PORTS=(1, 1), BLOCK_SIZE=1).encode(),
                 205),
                (hello + ready, 204)):
            with self.peer(certificate) as peer:
                peer.send(sent)
                said = []
                with contextlib.suppress(OSError, ssl.SSLError):
                    while message := peer.next():
                        said.append(message)
                        if code == 204 and message[0] == 'TS CONFIG':
                            peer.send(encode('REJECT', 1,
                                             REFUSED=(1, 14, '')))
                self.assertEqual(said[-1][2].get('REASON', (0,))[0], code,
                                 (sent, said))
        self.assertEqual(fw.connections, 1)
        self.end()


if __name__ == '__main__':
    unittest.main()
