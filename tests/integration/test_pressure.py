"""Peers that press hard: too many, too slow, gone too soon. The receiver must
go on for all others, and be as it was when they are gone."""
import os
import resource
import shutil
import socket
import ssl
import time
import unittest

import harness
from harness import Peer
from uidrecv1 import Record


def cpu_s(process):
    with open(f'/proc/{process.pid}/stat') as file:
        fields = file.read().rpartition(') ')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def descriptors(process):
    return len(os.listdir(f'/proc/{process.pid}/fd'))


class Pressure(harness.StageTest):
    def crowd(self, port, count):
        """Connections that never say anything."""
        found = []
        for _ in range(count):
            raw = socket.create_connection(('127.0.0.1', port), 5)
            self.addCleanup(raw.close)
            found.append(raw)
        return found

    def settles(self, receiver, count):
        """Waits until so many descriptors are open, as it was before."""
        deadline = time.monotonic() + harness.PATIENCE_S
        while descriptors(receiver) > count:
            self.assertLess(time.monotonic(), deadline, descriptors(receiver))
            time.sleep(0.05)

    def client_hello(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(['uidrecv/1'])
        tls = context.wrap_bio(incoming, outgoing)
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        return outgoing.read()

    @unittest.skipUnless(shutil.which('prlimit'), 'prlimit is missing')
    def test_N12_no_descriptors_left(self):
        arguments = ['prlimit', '--nofile=64:64', '--',
                     *self.stage.receiver_arguments()]
        receiver = self.stage.keep(harness.Receiver(arguments)).wait_ready()
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.0.0.1 alice')
        agent.wait_acked(1)
        crowd = self.crowd(receiver.port, 120)
        time.sleep(0.3)
        before = cpu_s(receiver)
        time.sleep(2)
        self.assertLess(cpu_s(receiver) - before, 0.3, 'it spins')
        agent.say('map 10.0.0.2 bob')
        agent.wait_acked(2)
        for raw in crowd:
            raw.close()
        late = self.stage.start_agent('agent.py', receiver.port,
                                      self.stage.authority.issue(harness.AGENT))
        late.say('map 10.0.0.3 carol')
        late.wait_acked(1)

    def test_N03_silent_crowd_is_sent_away_in_time(self):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        receiver = self.stage.start_receiver()
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.0.0.1 alice')
        agent.wait_acked(1)
        count = descriptors(receiver)
        self.crowd(receiver.port, 800)
        agent.say('map 10.0.0.2 bob')
        agent.wait_acked(2, 2)
        late = self.stage.start_agent('agent.py', receiver.port,
                                      self.stage.authority.issue(harness.AGENT))
        late.say('map 10.0.0.3 carol')
        late.wait_acked(1)
        late.kill()
        agent.kill()
        self.settles(receiver, count - 1)
        counters = receiver.status()[0]
        self.assertGreaterEqual(counters['refused_timeout'] +
                                counters['refused_limit'], 800)

    def test_P22_a_crowd_does_not_flood_the_log(self):
        receiver = self.stage.start_receiver()
        lines = len(receiver.err.lines)
        started = time.monotonic()
        for _ in range(1000):
            with socket.create_connection(('127.0.0.1', receiver.port)) as raw:
                raw.sendall(b'GET / HTTP/1.0\r\n\r\n')
        while receiver.status()[0]['refused_tls'] < 1000:
            self.assertLess(time.monotonic() - started, harness.PATIENCE_S)
            time.sleep(0.05)
        logged = len(receiver.err.lines) - lines
        self.assertLess(logged, 40 + 15 * (time.monotonic() - started))

    def test_N10_closed_at_every_byte_of_the_hello(self):
        receiver = self.stage.start_receiver()
        count, hello = descriptors(receiver), self.client_hello()
        for size in range(len(hello) + 1):
            with socket.create_connection(('127.0.0.1', receiver.port)) as raw:
                raw.sendall(hello[:size])
        self.settles(receiver, count)
        self.assertEqual(receiver.status()[0]['connections'], 0)

    def test_N09_N15_gone_before_the_answer(self):
        receiver = self.stage.start_receiver()
        count = descriptors(receiver)
        for number in range(200):
            with Peer(self.stage, receiver.port) as peer:
                peer.open(session=number + 1)
                peer.send(peer.update(Record('MAP', '10.0.0.1', f'u{number}')))
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       b'\1\0\0\0\0\0\0\0')
        self.settles(receiver, count)
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.0.0.1 alice')
        self.assertEqual(agent.end(), 0)
        self.assertEqual(self.stage.everybody(), {'10.0.0.1': 'alice'})

    def test_N01_many_agents_at_once(self):
        count = 150
        names = [f'a{n}.example' for n in range(count)]
        self.stage.agents.write_text(''.join(
            f'{name} 10.0.0.0/8\n' for name in names))
        receiver = self.stage.start_receiver()
        peers = []
        for number, name in enumerate(names):
            client = self.stage.authority.issue(name)
            peer = Peer(self.stage, receiver.port, client).open()
            self.addCleanup(peer.socket.close)
            peer.send(peer.update(Record('MAP', f'10.0.0.{number}', name)))
            peers.append(peer)
        for peer in peers:
            self.assertEqual(peer.next()[:2], ('ACK', 1))
        self.assertEqual(self.stage.everybody(), {
            f'10.0.0.{number}': name for number, name in enumerate(names)})
        self.assertEqual(receiver.status()[0]['sessions'], count)
        self.assertEqual(receiver.stop(), 0)
        for peer in peers:
            name, _, fields = peer.next()
            self.assertEqual((name, fields['REASON'][0]), ('BYE', 100))


if __name__ == '__main__':
    unittest.main()
