"""The programs as an operator uses them: command lines, files, signals."""
import grp
import hashlib
import os
import pathlib
import re
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import unittest

import harness
from harness import EXAMPLES, PATIENCE_S, program


LOG_LINE = re.compile(r'^\d{4}-\S+Z [A-Z]+ .*\n', re.MULTILINE)


def run(*arguments, stdin=b''):
    """Returns status, stdout and stderr."""
    done = subprocess.run(arguments, input=stdin, capture_output=True,
                          timeout=PATIENCE_S)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def fingerprint(directory):
    """What a directory holds: names, modes, contents; but for lock files."""
    found = {}
    for path in sorted(pathlib.Path(directory).rglob('*')):
        if 'lock' in path.name:
            continue
        content = path.read_bytes() if path.is_file() else b''
        found[str(path)] = (path.stat().st_mode,
                            hashlib.sha256(content).hexdigest())
    return found


class CommandLine(harness.StageTest):
    def refused(self, arguments, *words, status=2, stdin=b''):
        """The program must say all the words, in one line, and exit. What
        the library logs meanwhile does not count."""
        code, out, err = run(*arguments, stdin=stdin)
        self.assertEqual((code, out), (status, ''), (arguments, err))
        err = re.sub(LOG_LINE, '', err)
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertTrue(err.startswith(pathlib.Path(arguments[0]).name + ': '),
                        err)
        for word in words:
            self.assertIn(str(word), err)
        return err

    def changed(self, option, value, more=()):
        """The receiver's good command line with another value."""
        arguments = self.stage.receiver_arguments(more=more)
        if option in arguments:
            arguments[arguments.index(option) + 1] = str(value)
            return arguments
        return arguments + [option, str(value)]

    def test_help_and_version(self):
        for name in 'uidrecvd', 'uidagent', 'uidlookup':
            code, out, err = run(program(name), '--help')
            self.assertEqual((code, err), (0, ''))
            self.assertIn(f'sage: {name}', out)
            self.assertLessEqual(max(map(len, out.splitlines())), 80)
            code, out, err = run(program(name), '--version')
            self.assertEqual((code, err), (0, ''))
            self.assertRegex(out, rf'^{name} \d+\.\d+\.\d+\n$')

    def test_unwritable_stdout_is_a_failure(self):
        with open('/dev/full', 'w') as full:
            for name in 'uidrecvd', 'uidagent':
                done = subprocess.run([program(name), '--help'], stdout=full,
                                      stderr=subprocess.PIPE)
                self.assertNotEqual(done.returncode, 0, name)

    def test_receiver_wrong_options(self):
        uidrecvd = program('uidrecvd')
        self.refused([uidrecvd], '--store', 'must be given', '--help')
        self.refused([uidrecvd, '--nonsense'], '--nonsense', '--help')
        self.refused([uidrecvd, '-x'], '-x', '--help')
        self.refused([uidrecvd, '--store'], '--store', 'needs a value')
        self.refused(self.stage.receiver_arguments() + ['more'], 'more')
        for option in ('--store', '--listen', '--cert', '--key', '--ca',
                       '--agents'):
            arguments = self.stage.receiver_arguments()
            at = arguments.index(option)
            self.refused(arguments[:at] + arguments[at + 2:], option)

    def test_ts_agent_wrong_options(self):
        for value in ('nonsense', 'a=b', 'a=b:0', '=b:1', 'a=b:65536', 'a=:1',
                      'a=::1:5', 'a=b:1x', 'a=[::1]', ''):
            self.refused(self.changed('--ts-agent', value),
                         f'--ts-agent {value}:', 'ts1.example.com=')
        value = f'{harness.AGENT}=b c:1'
        self.refused(self.changed('--ts-agent', value), value)
        self.refused(self.changed('--ts-agent', 'absent.example=b:1'),
                     'absent.example=b:1', self.stage.agents)
        self.refused(self.changed('--ts-agent', f'{harness.AGENT}=b:1') +
                     ['--ts-agent', f'{harness.AGENT}=b:1'], 'once')

    def test_receiver_wrong_table_options(self):
        for mode in '9', '0666', '0642', '', 'rw', '-1', '0':
            self.refused(self.changed('--table-mode', mode), '--table-mode',
                         mode, '0640')
        self.refused(self.changed('--table-group', 'no-such-group'),
                     'no-such-group', 'getent')
        self.refused(self.changed('--table', self.stage.dir / 'no/table'),
                     'no/table')

    def test_N14_listen_failures_are_typed(self):
        for address in ('nonsense', '127.0.0.1', '127.0.0.1:', ':5007', '1:2:3',
                        '127.0.0.1:65536', '127.0.0.1:-1', '[::1:0', '',
                        '127.0.0.1:0x10', 'localhost.:http'):
            self.refused(self.changed('--listen', address), '--listen',
                         '10.0.0.1:5007')
        self.refused(self.changed('--listen', '192.0.2.1:0'), '192.0.2.1')
        with socket.socket() as busy:
            busy.bind(('127.0.0.1', 0))
            busy.listen()
            address = f'127.0.0.1:{busy.getsockname()[1]}'
            self.refused(self.changed('--listen', address), address, 'in use',
                         status=1)

    def test_receiver_certificate_files(self):
        junk = self.stage.dir / 'junk'
        junk.write_text('nothing\n')
        other = self.stage.authority.issue('other')[1]
        expired = self.stage.authority.issue('old', start=-9, end=-1)[0]
        for option in '--cert', '--key', '--ca', '--crl':
            for path in self.stage.dir / 'missing', junk, self.stage.dir:
                err = self.refused(self.changed(option, path), path)
                self.assertRegex(err, r'[a-z]{3,}.*[;,:(]')
        self.refused(self.changed('--key', other), 'key')
        self.refused(self.changed('--cert', expired), expired, 'expired')

    def test_receiver_agents_file(self):
        path = self.stage.agents
        for text, word in (('agent.example\n', 'line 1'),
                           ('# fine\nagent.example 10.0.0.0/33\n', '10.0.0.0'),
                           ('a 10.0.0.0/8\na 10.0.0.0/8\n', '2'),
                           ('a 10.0.0.0/8 color=red\n', 'color'),
                           ('a 10.0.0.1/8\n', '10.0.0.1/8'),
                           ('a 10.0.0.0/8 priority=x\n', 'priority')):
            path.write_text(text)
            self.refused(self.stage.receiver_arguments(), path, word)
        path.unlink()
        self.refused(self.stage.receiver_arguments(), path)

    def test_agent_wrong_options(self):
        good = self.stage.agent_arguments('uidagent', 1)
        good.remove('-v')
        self.refused(good[:1], '--connect')
        self.refused(good + ['--batch', '0'], '--batch', '1024')
        self.refused(good + ['--batch', '1025'], '--batch', '1024')
        self.refused(good + ['--load', 'many'], '--load', 'many')
        self.refused(good + ['--queue', '0'], '--queue', '0')
        self.refused(good + ['--connect', 'h:1'] * 16, '16')
        self.refused(good + ['more'], 'more')
        for option in '--cert', '--key', '--ca':
            arguments = list(good)
            arguments[arguments.index(option) + 1] = '/nonexistent'
            self.refused(arguments, '/nonexistent')
        for address in 'nonsense', 'localhost', 'localhost:x', ':1', '[::1':
            arguments = list(good)
            arguments[arguments.index('--connect') + 1] = address
            self.refused(arguments, address)

    def test_python_agent_wrong_options(self):
        good = self.stage.agent_arguments('agent.py', 1)
        for arguments in ([], [*good, '--batch', '0', '-'],
                          [*good, '--lines', '--replay', '-'],
                          [*good, '/nonexistent'], [*good, '--what', '-'],
                          [sys.executable, str(EXAMPLES / 'agent.py')]):
            if arguments:
                code, out, err = run(*arguments)
                self.assertEqual((code, out), (2, ''), arguments)
                self.assertTrue(err)

    def test_O07_no_key_in_any_output(self):
        key = pathlib.Path(self.stage.server[1]).read_text().splitlines()[1]
        receiver = self.stage.start_receiver(more=('-vv',))
        receiver.reload()
        receiver.stop()
        self.assertNotIn(key, '\n'.join(receiver.out.lines + receiver.err.lines))


class Lookups(harness.StageTest):
    """What uidlookup says of a table that it cannot use."""
    def refused(self, path, *words):
        for question in ('10.0.0.1',), ('--all',):
            code, out, err = run(program('uidlookup'), '--table', path,
                                 *question)
            self.assertEqual((code, out), (2, ''), err)
            for word in (str(path), *words):
                self.assertIn(word, err)

    def test_unusable_tables(self):
        table = pathlib.Path(self.stage.table)
        self.refused(table, 'No such file', 'receiver')
        self.stage.start_receiver().stop()
        good = table.read_bytes()
        self.assertEqual(self.stage.everybody(), {})
        for data, word in ((b'', 'not a uidrecv table'),
                           (b'x' * 65536, 'not a uidrecv table'),
                           (good[:1000], 'not a uidrecv table')):
            bad = self.stage.dir / 'bad'
            bad.write_bytes(data)
            bad.chmod(0o640)
            self.refused(bad, word, 'restart the receiver')
        bad.write_bytes(good)
        bad.chmod(0o666)
        self.refused(bad, 'owner')

    def test_table_of_another_version(self):
        self.stage.start_receiver().stop()
        data = bytearray(pathlib.Path(self.stage.table).read_bytes())
        bad = self.stage.dir / 'bad'
        place = VERSION_OF_TABLE
        version = struct.unpack_from('=I', data, place)[0]
        self.assertEqual(version, 4)
        struct.pack_into('=I', data, place, version + 1)
        bad.write_bytes(data)
        bad.chmod(0o640)
        self.refused(bad, 'version', 'restart the receiver')


VERSION_OF_TABLE = 8  # lib/slot.h: where the header has it
META_OF_STORE = b'uidrecv\n\0\0\0\3'  # lib/store-env.c: magic and schema


class Stores(harness.StageTest):
    """A store that cannot be used is refused by its own error, unchanged."""
    def refused(self, *words, status=2):
        before = fingerprint(self.stage.store)
        code, out, err = run(*self.stage.receiver_arguments())
        self.assertEqual((code, out), (status, ''), err)
        for word in words:
            self.assertIn(word, err)
        self.assertEqual(fingerprint(self.stage.store), before)

    def data(self):
        return self.stage.store / 'store' / 'data.mdb'

    def make(self):
        self.stage.start_receiver().stop()

    def test_not_ours(self):
        self.data().parent.mkdir(parents=True, mode=0o700)
        self.stage.store.chmod(0o711)
        self.data().write_bytes(b'a file of somebody else\n' * 1000)
        self.refused('store', str(self.stage.store))

    def test_a_file_or_nothing_around_it(self):
        self.stage.store.write_text('a file\n')
        self.refused(str(self.stage.store))
        self.stage.store.unlink()
        self.stage.store = self.stage.dir / 'no' / 'such'
        self.refused(str(self.stage.store))

    def test_damaged(self):
        self.make()
        size = self.data().stat().st_size
        with open(self.data(), 'r+b') as file:
            file.write(os.urandom(8192))
        self.refused('store', str(self.stage.store))
        self.assertEqual(self.data().stat().st_size, size)

    def patch_meta(self, offset, data):
        """Changes every copy of the store's own record."""
        content = self.data().read_bytes()
        copies = [match.start() for match in
                  re.finditer(META_OF_STORE, content)]
        self.assertTrue(copies)
        with open(self.data(), 'r+b') as file:
            for place in copies:
                file.seek(place + offset)
                file.write(data)

    def test_another_schema(self):
        self.make()
        self.patch_meta(8, b'\0\0\0\4')
        self.refused('schema', str(self.stage.store))

    def test_damaged_record(self):
        self.make()
        self.patch_meta(20, b'another boot')
        self.refused('damaged', 'backup', str(self.stage.store))

    def test_cut(self):
        self.make()
        os.truncate(self.data(), 8192)
        self.refused('store', str(self.stage.store))

    def test_empty_file(self):
        self.make()
        os.truncate(self.data(), 0)
        self.refused('store', str(self.stage.store))

    def test_wrong_mode(self):
        self.make()
        self.data().parent.chmod(0o755)
        self.refused('mode', str(self.stage.store))

    def test_in_use(self):
        receiver = self.stage.start_receiver()
        code, out, err = run(*self.stage.receiver_arguments())
        self.assertEqual((code, out), (1, ''), err)
        self.assertIn('in use', err)
        self.assertEqual(receiver.status()[0]['claims'], 0)
        self.assertEqual(receiver.stop(), 0)


class Signals(harness.StageTest):
    def test_starts_and_drains(self):
        receiver = self.stage.start_receiver()
        mode = pathlib.Path(self.stage.table).stat().st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o640)
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say(r'map 10.1.2.3 CORP\alice')
        agent.wait_acked(1)
        self.assertEqual(receiver.stop(), 0)
        self.assertEqual(self.stage.everybody(), {'10.1.2.3': r'CORP\alice'})
        self.assertIsNotNone(agent.err.wait('SHUTDOWN|the sender stops'))
        self.assertIsNone(agent.process.poll())

    def test_interrupt_drains_too(self):
        receiver = self.stage.start_receiver()
        receiver.signal(signal.SIGINT)
        self.assertEqual(receiver.wait(), 0)

    def test_what_arrived_is_stored_before_the_end(self):
        receiver = self.stage.start_receiver()
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say(r'map 10.0.0.1 CORP\first')
        agent.wait_acked(1)
        for i in range(2000):
            agent.say(rf'map 10.0.{i >> 8}.{i & 255} CORP\u{i}')
        self.assertEqual(receiver.stop(), 0)
        acked = agent.acked()
        known = self.stage.everybody()
        self.assertGreaterEqual(len(known), 1)
        del acked  # an ACK covers a batch: test_crash.py counts them

    def test_table_mode_group_and_place(self):
        group = grp.getgrall()[-1]
        table = self.stage.dir / 'elsewhere'
        self.stage.start_receiver(more=(
            '--table', str(table), '--table-mode', '0644', '--table-group',
            group.gr_name))
        self.assertEqual(stat.S_IMODE(table.stat().st_mode), 0o644)
        self.assertEqual(table.stat().st_gid, group.gr_gid)
        self.assertFalse(os.path.exists(self.stage.table))
        self.assertEqual(stat.S_IMODE(self.stage.store.stat().st_mode), 0o711)
        private = self.stage.store / 'store'
        self.assertEqual(stat.S_IMODE(private.stat().st_mode), 0o700)

    def test_listeners_of_both_families(self):
        receiver = self.stage.start_receiver(
            listen=('127.0.0.1:0', '127.0.0.1:0', '[::1]:0'))
        self.assertEqual(len(set(receiver.ports)), 3)
        names = [line for line in receiver.out.lines
                 if line.startswith('listening ')]
        self.assertEqual(names[2], f'listening [::1]:{receiver.ports[2]}')
        for kind in harness.AGENT_KINDS:
            for n, host in enumerate(('127.0.0.1', '127.0.0.1', '[::1]')):
                agent = self.stage.agent_arguments(kind, 1)
                at = agent.index('--connect') + 1
                agent[at] = f'{host}:{receiver.ports[n]}'
                if kind == 'agent.py':
                    agent += ['--lines', '-']
                code, out, err = run(*agent, stdin=b'map 10.0.0.%d u%d\n' % (
                    n, n))
                self.assertEqual((code, out), (0, 'acked 1\n'), err)
            self.assertEqual(self.stage.everybody(), {
                f'10.0.0.{n}': f'u{n}' for n in range(3)})

    def test_any_address(self):
        receiver = self.stage.start_receiver(listen=('*:0',))
        for host in '127.0.0.1', '::1':
            socket.create_connection((host, receiver.port)).close()

    def test_status_of_dials(self):
        with open(self.stage.agents, 'a') as file:
            file.write('urn:a=b 10.0.0.0/8\n')
        with socket.create_server(('127.0.0.1', 0)) as listener:
            place = f'127.0.0.1:{listener.getsockname()[1]}'
            # It listens nowhere itself.
            receiver = self.stage.start_receiver(
                listen=(), more=('--ts-agent', f'urn:a=b={place}'))
            listener.settimeout(PATIENCE_S)
            taken, _ = listener.accept()
            agents = receiver.status()[1]
            status = agents['urn:a=b']
            self.assertEqual((status['connected'], status['dial'],
                              status['dial_attempts'], status['dial_error'],
                              status['multi_user'], status['blocks_taken']),
                             ('no', place, '1', '-', 'no', '0'))
            self.assertEqual(agents[harness.AGENT]['dial'], '-')
            taken.close()
            listener.accept()[0].close()
            self.assertNotEqual(
                receiver.status()[1]['urn:a=b']['dial_error'], '-')
        with open(self.stage.agents, 'a') as file:
            file.write('listed.example 10.0.0.0/8 dial=[::1]:5009\n')
        self.assertTrue(receiver.reload())
        agents = receiver.status()[1]
        self.assertEqual((agents['urn:a=b']['dial'],
                          agents['listed.example']['dial']),
                         (place, '[::1]:5009'))
        self.assertEqual(receiver.stop(), 0)

    def test_status_is_not_forged_by_a_certificate(self):
        """Anybody may be found at an address, under any name."""
        cert, key = self.stage.dir / 'forged.pem', self.stage.dir / 'forged'
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
             'ec_paramgen_curve:P-256', '-noenc', '-keyout', key, '-out',
             cert, '-subj', '/CN=x connected=yes claims=9 '],
            check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        with open(self.stage.agents, 'a') as file:
            file.write('urn:a=b 10.0.0.0/8\n')
        with socket.create_server(('127.0.0.1', 0)) as listener:
            place = f'127.0.0.1:{listener.getsockname()[1]}'
            receiver = self.stage.start_receiver(
                more=('--ts-agent', f'urn:a=b={place}'))
            listener.settimeout(PATIENCE_S)
            taken, _ = listener.accept()
            with self.assertRaises(ssl.SSLError):
                context.wrap_socket(taken, server_side=True)
        status = receiver.status()[1]['urn:a=b']
        self.assertEqual((status['connected'], status['claims']), ('no', '0'))
        self.assertIn('CN=x%20connected=yes', status['dial_error'])

    def test_status(self):
        with open(self.stage.agents, 'a') as file:
            file.write('absent.example 10.0.0.0/8 priority=7\n')
        receiver = self.stage.start_receiver()
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say(r'map 10.1.2.3 CORP\alice', r'map 127.0.0.1 CORP\alice')
        agent.wait_acked(1)
        counters, agents = receiver.status()
        present, absent = agents[harness.AGENT], agents['absent.example']
        self.assertEqual(present['connected'], 'yes')
        self.assertRegex(present['peer'], r'^127\.0\.0\.1:\d+$')
        self.assertLess(int(present['last_heard_ms']), PATIENCE_S * 1000)
        self.assertEqual((present['claims'], present['records'],
                          present['rejected']), ('1', '1', '1'))
        self.assertEqual(present['certificate_days'], '10')
        self.assertEqual(present['software'], 'uidagent')
        self.assertEqual((absent['connected'], absent['priority'],
                          absent['peer']), ('no', '7', '-'))
        self.assertEqual((counters['sessions'], counters['claims'],
                          counters['rejected']), (1, 1, 1))
        self.assertEqual(counters['certificate_days'], 10)

    def test_notifies_systemd(self):
        path = str(self.stage.dir / 'notify')
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(PATIENCE_S)
            os.environ['NOTIFY_SOCKET'] = path
            self.addCleanup(os.environ.pop, 'NOTIFY_SOCKET', None)
            self.stage.start_receiver()
            self.assertEqual(notify.recv(100), b'READY=1')

    def test_O02_nobody_reads_its_output(self):
        read, write = os.pipe()
        receiver = subprocess.Popen(
            self.stage.receiver_arguments(more=('-vv',)), stdout=write,
            stderr=write)
        self.addCleanup(os.close, read)
        self.addCleanup(receiver.wait)
        self.addCleanup(receiver.kill)
        os.close(write)
        text = b''
        while b'ready' not in text:
            text += os.read(read, 4096)
        port = int(re.search(rb'listening .*:(\d+)', text)[1])
        for _ in range(2000):
            receiver.send_signal(signal.SIGUSR1)
        agent = self.stage.start_agent('uidagent', port)
        agent.say(r'map 10.1.2.3 CORP\alice')
        agent.wait_acked(1)


class Reload(harness.StageTest):
    def logged(self, receiver, pattern):
        self.assertIsNotNone(receiver.err.wait(pattern), receiver.err.lines)

    def test_O01_bad_agents_file_keeps_the_old(self):
        receiver = self.stage.start_receiver()
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.0.0.1 alice')
        agent.wait_acked(1)
        for text in 'agent.example\n', 'agent.example 10/8\n', '\0\n':
            self.stage.agents.write_text(text)
            self.assertFalse(receiver.reload())
        self.logged(receiver, 'ERROR .*agents.*stays in force')
        self.stage.agents.unlink()
        self.assertFalse(receiver.reload())
        agent.say('map 10.0.0.2 bob')
        self.assertEqual(agent.end(), 0)
        self.assertEqual(len(self.stage.everybody()), 2)

    def test_I08_bad_certificate_files_keep_the_old(self):
        receiver = self.stage.start_receiver()
        files = [*self.stage.server, self.stage.authority.cert]
        for path in map(pathlib.Path, files):
            good = path.read_bytes()
            path.write_text('nothing\n')
            self.assertFalse(receiver.reload())
            path.write_bytes(good)
        self.logged(receiver, 'ERROR .*stays in force')
        self.assertTrue(receiver.reload())
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.0.0.1 alice')
        self.assertEqual(agent.end(), 0)

    def test_new_agents_file(self):
        receiver = self.stage.start_receiver()
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.0.0.1 alice', 'map 192.168.0.1 bob')
        agent.wait_acked(1)
        self.stage.agents.write_text('agent.example 10.0.0.0/8\n')
        self.assertTrue(receiver.reload())
        # What is no longer allowed is gone.
        self.assertEqual(self.stage.everybody(), {'10.0.0.1': 'alice'})
        agent.say('map 192.168.0.2 bob', 'map 10.0.0.2 bob')
        self.assertEqual(agent.end(), 1)
        self.assertEqual(agent.rejected(), [('3', 'ADDRESS-NOT-ALLOWED')])
        self.stage.agents.write_text('other.example 10.0.0.0/8\n')
        self.assertTrue(receiver.reload())
        self.assertEqual(self.stage.everybody(), {})

    def test_agent_that_is_taken_off_the_list_is_put_out(self):
        receiver = self.stage.start_receiver()
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.0.0.1 alice')
        agent.wait_acked(1)
        self.stage.agents.write_text('')
        self.assertTrue(receiver.reload())
        self.assertEqual(agent.wait(), 3)
        self.assertEqual(self.stage.everybody(), {})

    def test_N32_revoked_certificate_ends_its_session(self):
        path = self.stage.dir / 'crl.pem'
        crl = self.stage.authority.crl(path)
        receiver = self.stage.start_receiver(crl=crl)
        agent = self.stage.start_agent('uidagent', receiver.port)
        agent.say('map 10.0.0.1 alice')
        agent.wait_acked(1)
        self.stage.authority.revoke(self.stage.client[0])
        self.stage.authority.crl(path)
        self.assertTrue(receiver.reload())
        self.assertIsNotNone(agent.err.wait('CERTIFICATE|certificate', 1, 5),
                             agent.err.lines)
        agent.say('map 10.0.0.2 bob')
        self.assertIsNone(agent.out.wait('acked 2', timeout=2))
        # A lost agent's mappings live on until their lifetimes end.
        self.assertEqual(self.stage.everybody(), {'10.0.0.1': 'alice'})


if __name__ == '__main__':
    unittest.main()
