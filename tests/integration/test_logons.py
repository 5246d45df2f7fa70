"""Windows logons through agent.py into the receiver, the table compared with
the oracle: what was recorded ($UIDRECV_TEST_DATA/windows-logons.jsonl), in the
order of the file and shuffled, and 100,000 that genlogons.py makes.

The events are moved to just before now, for lookups know nothing older; only
their order in time is kept.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import unittest

import genlogons
import harness
from agent_input import EventRules, event_time_us
from oracle import Oracle

GENERATED = int(os.environ.get('UIDRECV_TEST_EVENTS', 100_000))
STEPWISE = 2000
STEP_US = 10_000


def move(events, step_us=STEP_US):
    """The same events, the last of them a second ago."""
    times = sorted({event_time_us(event) for event in events})
    end = time.time_ns() // 1000 - 1_000_000
    place = {when: end - step_us * (len(times) - n)
             for n, when in enumerate(times)}
    moved = []
    for event in events:
        us = place[event_time_us(event)]
        text = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(us // 1_000_000))
        moved.append({**event, 'ts': f'{text}.{us % 1_000_000:06}Z'})
    return moved


class Feed:
    """agent.py and the oracle side by side, a record in an UPDATE."""
    def __init__(self, test, stage, batch=1):
        self.test, self.stage, self.batch = test, stage, batch
        receiver = stage.start_receiver()
        arguments = stage.agent_arguments('agent.py', receiver.port,
                                          more=('--batch', str(batch), '-'))
        self.agent = stage.keep(harness.Agent(arguments))
        self.lookup = stage.start_lookup()
        self.rules, self.oracle = EventRules(), Oracle()
        self.records = self.lines = 0
        self.now_us = time.time_ns() // 1000

    def tell(self, events):
        """Returns the addresses that were spoken of."""
        touched = set()
        for event in events:
            self.lines += 1
            self.now_us += 1
            for record in self.rules.records(event, self.lines):
                self.records += 1
                touched.add(record.address)
                self.oracle.say(
                    harness.AGENT, record.op, record.address, self.now_us,
                    user=record.user, event_time_us=record.event_time_us,
                    lifetime_s=record.lifetime_s, token=record.token)
        self.agent.say(*map(json.dumps, events))
        return touched

    def wait(self):
        """Until all that was told is acknowledged; needs batch 1."""
        if self.records:
            self.agent.wait_acked(self.records)

    def check_touched(self, addresses):
        for address in addresses:
            answer = self.oracle.answer(address, self.now_us)
            self.test.assertEqual(self.lookup.user(address),
                                  answer and answer[0],
                                  f'{address} after line {self.lines}')

    def check_all(self):
        expected = {address: user for address, (user, _)
                    in self.oracle.answers(self.now_us).items()}
        self.test.assertFalse(self.oracle.outside_limits())
        found = self.stage.everybody()
        wrong = [(address, found.get(address), expected.get(address))
                 for address in found.keys() | expected.keys()
                 if found.get(address) != expected.get(address)]
        self.test.assertEqual(wrong[:5], [], f'after line {self.lines}')

    def step_by_step(self, events, all_every=100):
        for number, event in enumerate(events, 1):
            touched = self.tell([event])
            self.wait()
            self.check_touched(touched)
            if number % all_every == 0:
                self.check_all()
        self.check_all()

    def end(self):
        self.test.assertEqual(self.agent.end(120), 0, self.agent.err.lines)
        self.check_all()


def recorded():
    """The recorded events, or a skip."""
    given = os.environ.get('UIDRECV_TEST_DATA')
    if not given:
        raise unittest.SkipTest('UIDRECV_TEST_DATA does not say where '
                                'windows-logons.jsonl is')
    path = pathlib.Path(given)
    if path.is_dir():
        path = path / 'windows-logons.jsonl'
    return [json.loads(line) for line in path.read_text().splitlines()]


class Recorded(harness.StageTest):
    def test_in_the_order_of_the_file(self):
        Feed(self, self.stage).step_by_step(move(recorded()))

    def test_shuffled(self):
        events = move(recorded())
        for seed in range(3):
            stage = harness.Stage()
            self.addCleanup(stage.close)
            random.Random(seed).shuffle(events)
            Feed(self, stage).step_by_step(events)

    def test_as_a_file(self):
        """As it would be fed by hand; the days between the events are kept."""
        events = recorded()
        path = self.stage.dir / 'events.jsonl'
        path.write_text(''.join(json.dumps(event) + '\n' for event in events))
        receiver = self.stage.start_receiver()
        done = subprocess.run(
            self.stage.agent_arguments('agent.py', receiver.port,
                                       more=('--replay', str(path))),
            capture_output=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        rules, oracle = EventRules(), Oracle()
        for event in events:
            for record in rules.records(event):
                oracle.say(harness.AGENT, record.op, record.address, 1,
                           user=record.user, token=record.token,
                           event_time_us=record.event_time_us)
        self.assertEqual(self.stage.everybody(), {
            address: user for address, (user, _) in oracle.answers(1).items()})


class Generated(harness.StageTest):
    def test_generated(self):
        # Few logouts an address, as more than 16 markers are not kept.
        events = move(genlogons.generate(GENERATED, users=GENERATED // 10,
                                         addresses=GENERATED // 8), 1000)
        started = time.monotonic()
        feed = Feed(self, self.stage)
        feed.step_by_step(events[:STEPWISE])
        stepped = time.monotonic()
        rest = events[STEPWISE:]
        part = max(1, len(rest) // 10)
        for start in range(0, len(rest), part):
            feed.tell(rest[start:start + part])
            feed.wait()
            feed.check_all()
        feed.end()
        print(f'{len(events)} events, {feed.records} records: the first '
              f'{STEPWISE} in {stepped - started:.1f} s, the rest in '
              f'{time.monotonic() - stepped:.1f} s', file=sys.stderr)


if __name__ == '__main__':
    unittest.main()
