#!/usr/bin/env python3
"""Makes Windows logon events that never happened: JSON lines, as agent.py
reads them. The same seed makes the same events.

    genlogons.py [--seed N] [--users N] [--addresses N] COUNT

People come and go: they log on, take another address while the first logon
still stands (roaming), log on again where they are, and log off, now and then
late, after somebody else has come. Kerberos tickets and file shares mention
them in three spellings. Domain controllers write it down, each with a delay of
its own, so that events of different hosts are out of order. In between stands
what an agent must drop: machine accounts, services, addresses of no use.
"""
import argparse
import datetime
import ipaddress
import json
import random
import sys

DOMAINS = ('THESHIRE', 'MORDOR', 'RIVENDELL')
START = datetime.datetime(2026, 3, 2, 7, 0, tzinfo=datetime.timezone.utc)
NOBODIES = (('SYSTEM', 'NT AUTHORITY', 'S-1-5-18', 5),
            ('LOCAL SERVICE', 'NT AUTHORITY', 'S-1-5-19', 5),
            ('ANONYMOUS LOGON', 'NT AUTHORITY', 'S-1-5-7', 3),
            ('DWM-2', 'Window Manager', 'S-1-5-90-0-2', 2),
            ('UMFD-1', 'Font Driver Host', 'S-1-5-96-0-1', 2))
JUNK = ('-', '', None, 'LOCAL', '::1', '127.0.0.1', '0.0.0.0', '::',
        '169.254.7.9', 'fe80::3816:b2ee:1b9b:324b', '224.0.0.251', 'ff02::fb',
        '255.255.255.255')


class Generator:
    def __init__(self, seed=1, users=200, addresses=300):
        self.random = random.Random(seed)
        self.now_ms = 0
        self.next_logon_id = 0x10000
        self.sessions = []        # (user, address, host, logon id) standing
        self.hosts = [f'DC{n:02}.{domain.lower()}.example'
                      for n, domain in enumerate(DOMAINS, 1)]
        self.users = [(f'{self._syllables()}{n}', self.random.choice(DOMAINS),
                       f'S-1-5-21-1004336348-1177238915-682003330-{1100 + n}')
                      for n in range(users)]
        v4 = ipaddress.ip_address('10.1.0.10')
        v6 = ipaddress.ip_address('2001:db8::10')
        self.addresses = [str((v6 if n % 5 == 4 else v4) + n)
                          for n in range(addresses)]

    def events(self, count):
        """Yields events in the order in which an agent would see them."""
        seen = []
        while len(seen) < count:
            self.now_ms += self.random.randrange(1, 2000)
            for event in self._step():
                delay = 0
                if event['host'] is not None:
                    delay = 700 * self.hosts.index(event['host'])
                if self.random.random() < 0.02:
                    delay += self.random.randrange(30_000)
                seen.append((self.now_ms + delay, len(seen), event))
        seen.sort(key=lambda item: item[:2])
        for _, _, event in seen[:count]:
            yield event

    def _syllables(self):
        return ''.join(self.random.choice(('fro', 'bil', 'sam', 'mer', 'pip',
                                           'gal', 'ro', 'wen', 'do', 'ri'))
                       for _ in range(2))

    def _step(self):
        chance, pick = self.random.random(), self.random.choice
        if chance < 0.30 or not self.sessions:
            return self._logon(pick(self.users), pick(self.addresses))
        if chance < 0.45:
            return self._logoff(self.random.randrange(len(self.sessions)))
        if chance < 0.52:                             # roaming
            return self._logon(pick(self.sessions)[0], pick(self.addresses))
        if chance < 0.58:                             # again at the same place
            return self._logon(*pick(self.sessions)[:2])
        if chance < 0.62:                             # the late logoff
            index = self.random.randrange(len(self.sessions))
            coming = self._logon(pick(self.users), self.sessions[index][1])
            return coming + self._logoff(index)
        if chance < 0.85:
            return self._mention(*pick(self.sessions)[:2])
        return self._noise()

    def _event(self, number, host, user=None, domain=None, ip=None, kind=None,
               sid=None, logon_id=None):
        when = START + datetime.timedelta(milliseconds=self.now_ms)
        return {'id': number, 'ts': when.isoformat(timespec='milliseconds')
                .replace('+00:00', 'Z'), 'ip': ip,
                'port': ip and str(self.random.randrange(49152, 65536)),
                'user': user, 'domain': domain,
                'type': None if kind is None else str(kind), 'sid': sid,
                'logonid': None if logon_id is None else f'{logon_id:#x}',
                'host': host, 'src': 'genlogons'}

    def _new_logon_id(self):
        # Few, so that hosts use the same ones.
        self.next_logon_id += self.random.randrange(1, 4)
        return self.next_logon_id

    def _host_of(self, domain):
        return self.hosts[DOMAINS.index(domain)]

    def _logon(self, user, address):
        name, domain, sid = user
        host, logon_id = self._host_of(domain), self._new_logon_id()
        kind = self.random.choice((2, 10, 10, 10, 11))
        self.sessions.append((user, address, host, logon_id))
        return [self._event(4624, host, name, domain, self._spelled(address),
                            kind, sid, logon_id)]

    def _logoff(self, index):
        (name, domain, sid), _, host, logon_id = self.sessions.pop(index)
        number = self.random.choice((4634, 4634, 4647))
        return [self._event(number, host, name, domain, None,
                            10 if number == 4634 else None, sid, logon_id)]

    def _mention(self, user, address):
        name, domain, sid = user
        host, realm = self._host_of(domain), f'{domain}.EXAMPLE'
        ip = self._spelled(address, mapped=0.9)
        which = self.random.randrange(3)
        if which == 0:
            return [self._event(4768, host, name, realm.lower(), ip)]
        if which == 1:
            return [self._event(4769, host, f'{name}@{realm}', realm, ip)]
        logon_id = self._new_logon_id()       # a file share: 4634 at once
        return [self._event(4624, host, name, realm, self._spelled(address), 3,
                            sid, logon_id),
                self._event(4634, host, name, domain, None, 3, sid, logon_id)]

    def _noise(self):
        pick, which = self.random.choice, self.random.randrange(4)
        host = pick(self.hosts)
        if which == 0:
            name, domain, sid, kind = pick(NOBODIES)
            return [self._event(4624, host, name, domain, pick(self.addresses),
                                kind, sid, self._new_logon_id())]
        if which == 1:
            machine = f'PC{self.random.randrange(99):03}$'
            domain = pick(DOMAINS)
            ip = self._spelled(pick(self.addresses))
            return [self._event(4624, host, machine, domain, ip, 3,
                                'S-1-5-18', self._new_logon_id()),
                    self._event(4769, host, f'{machine}@{domain}.EXAMPLE',
                                f'{domain}.EXAMPLE', ip)]
        name, domain, sid = pick(self.users)
        if which == 2:
            return [self._event(4624, host, name, domain, pick(JUNK), 10, sid,
                                self._new_logon_id())]
        return [self._event(4776, host, name),
                self._event(4634, None, name, domain, None, 3, sid, 0x3e7)]

    def _spelled(self, address, mapped=0.1):
        if ':' not in address and self.random.random() < mapped:
            return '::ffff:' + address
        return address


def generate(count, seed=1, users=200, addresses=300):
    """Returns a list of `count` events."""
    return list(Generator(seed, users, addresses).events(count))


def main():
    parser = argparse.ArgumentParser(description='Makes logon events.')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--users', type=int, default=200)
    parser.add_argument('--addresses', type=int, default=300)
    parser.add_argument('count', type=int)
    options = parser.parse_args()
    for event in generate(options.count, options.seed, options.users,
                          options.addresses):
        sys.stdout.write(json.dumps(event) + '\n')


if __name__ == '__main__':
    main()
