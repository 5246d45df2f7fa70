"""What the tests of examples/ts_agent.py share: the program, and a wire to it
that can be cut.
"""
import pathlib
import select
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / 'integration'))

import harness  # noqa: E402


class TsAgent(harness.Agent):
    """Speaks as a certificate of the stage's authority to the firewalls."""
    def __init__(self, stage, certificate, firewalls, *more, port=0):
        cert, key = certificate
        names = [word for name in firewalls for word in ('--firewall', name)]
        super().__init__([
            sys.executable, '-B', str(harness.EXAMPLES / 'ts_agent.py'),
            '--listen', f'127.0.0.1:{port}', '--cert', cert, '--key', key,
            '--ca', stage.authority.cert, *names, '--settle', '0.1', *more])
        stage.keep(self)

    @property
    def port(self):
        return int(self.need(r'^listening (\d+)$')[1])


class Wire:
    """Takes connections at `port` and passes them on to where `target` says,
    until they are cut."""
    def __init__(self, target):
        self.target, self.ends, self.count = target, [], 0
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.is_open = True
        threading.Thread(target=self._run, daemon=True).start()

    def close(self):
        self.is_open = False
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def cut(self):
        for end in list(self.ends):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _run(self):
        while self.is_open:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(('127.0.0.1', self.target()))
            except OSError:
                near.close()
                continue
            self.count += 1
            threading.Thread(target=self._pass, args=(near, far),
                             daemon=True).start()

    def _pass(self, *pair):
        self.ends.extend(pair)
        try:
            while True:
                readable, _, _ = select.select(pair, [], [])
                for end in readable:
                    data = end.recv(65536)
                    if not data:
                        return
                    pair[end is pair[0]].sendall(data)
        except OSError:
            pass
        finally:
            for end in pair:
                self.ends.remove(end)
                end.close()
