#!/usr/bin/env python3
"""Runs the benchmark's programs one after the other, prints their figures as
tables, and then which goals are met.

    run.py [--quick] [--json FILE] [--svg FILE] [--page FILE] [--programs DIR]
    run.py --smoke [--programs DIR]

The status is 0 also if a goal is missed, and 1 if a program fails, is missing,
or prints nonsense; the others run all the same. With --smoke it is 1 also if
there are no figures for a goal.
"""
import argparse
import collections
import glob
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time

import goals
import machine
import page
import picture
import results

PROGRAMS = ('bench-lookup', 'bench-readers', 'bench-ingest',
            'bench-connections', 'bench-start', 'bench-growth')
BUILT = pathlib.Path(__file__).parents[2] / 'build-bench/tests/bench'
LIMIT_S = 900       # each has less than half of it to work in
SMOKE_LIMIT_S = 120

# Nothing is raised by the signal itself: a program that is just being started
# would be left behind.
interrupted = threading.Event()


class Failed(Exception):
    """A program did not do what it should; the words are for people."""


def complain(words):
    print(f'bench: {words}', file=sys.stderr, flush=True)


def end(child):
    """Ends a program with all that it has started and left behind."""
    for number, grace_s in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(child.pid, number)
            child.wait(grace_s)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            pass
    child.wait()


def in_memory():
    """Tables that programs have made there; they may be large."""
    return set(glob.glob('/dev/shm/uidrecv-*'))


def follow(stream, last, is_shown):
    """Shows what a program tells people, and keeps the last lines of it."""
    for line in stream:
        last.append(line)
        if is_shown:
            sys.stderr.write(f'    {line}')
            sys.stderr.flush()


def wait(child, limit_s):
    """Returns its status, or None if it takes too long. It is waited for by a
    descriptor, for Popen.wait() would wake up all the time, beside what is
    measured."""
    descriptor = os.pidfd_open(child.pid)
    try:
        end_s = time.monotonic() + limit_s
        while not select.select([descriptor], [], [], 0.5)[0]:
            if interrupted.is_set():
                raise KeyboardInterrupt
            if time.monotonic() > end_s:
                return None
    finally:
        os.close(descriptor)
    return child.wait()


def run(program, arguments, scratch, limit_s=LIMIT_S, is_shown=True):
    """Returns what the program printed."""
    last = collections.deque(maxlen=20)
    before = in_memory()
    with tempfile.TemporaryFile('w+', dir=scratch, encoding='utf-8',
                                errors='replace') as said:
        try:
            child = subprocess.Popen(
                [program, *arguments], stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.PIPE, encoding='utf-8', errors='replace',
                env={**os.environ, 'TMPDIR': scratch}, start_new_session=True)
        except OSError as error:
            raise Failed(f'cannot be started: {error.strerror}') from None
        ear = threading.Thread(target=follow,
                               args=(child.stderr, last, is_shown),
                               daemon=True)
        ear.start()
        try:
            status = wait(child, limit_s)
        finally:
            end(child)
            ear.join(5)
            for path in sorted(in_memory() - before):
                complain(f'left behind, it seems: {path}')
        said.seek(0)
        words = f'; its last words:\n{"".join(last)}' if last else ''
        if status is None:
            raise Failed(f'has not ended after {limit_s} s{words}')
        if status != 0:
            how = 'with status' if status > 0 else 'by signal'
            raise Failed(f'ended {how} {abs(status)}{words}')
        return said.read()


def measure(folder, option, scratch, found):
    """Runs all programs, and prints the tables of each, which nobody wants of
    a smoke; returns the names of those that failed."""
    is_smoke, failed = option == '--smoke', []
    for name in PROGRAMS:
        if interrupted.is_set():
            raise KeyboardInterrupt
        start = time.monotonic()
        complain(f'{name} runs')
        try:
            text = run(str(folder / name), [option] * bool(option), scratch,
                       SMOKE_LIMIT_S if is_smoke else LIMIT_S, not is_smoke)
            tables = found.read(text)
        except (Failed, results.Nonsense) as error:
            complain(f'{name} FAILED: {error}'.rstrip())
            failed.append(name)
            continue
        complain(f'{name} took {time.monotonic() - start:.0f} s')
        for table in [] if is_smoke else tables:
            print(results.as_text(found, table), flush=True)
    return failed


def smoke(arguments):
    """Whether everything runs; what is slow here is nobody's fault."""
    found = results.Results()
    with scratch_directory() as scratch:
        failed = measure(arguments.programs.resolve(), '--smoke', scratch,
                         found)
    unknown = [outcome.name for outcome in goals.judge(found)
               if outcome.verdict == 'missing']
    for name in unknown:
        complain(f'no figures for the goal "{name}"')
    print(f'{len(PROGRAMS) - len(failed)} of {len(PROGRAMS)} programs ran and'
          f' answered rightly, with figures for {len(goals.GOALS) - len(unknown)}'
          f' of {len(goals.GOALS)} goals.')
    return 1 if failed or unknown else 0


def scratch_directory():
    return tempfile.TemporaryDirectory(
        prefix='uidrecv-bench.', dir=os.environ.get('TMPDIR', '/var/tmp'),
        ignore_cleanup_errors=True)


def write_page(path, found, outcomes, about):
    tables = {table: results.as_markdown(found, table)
              for table in found.tables()}
    tables['goals'] = goals.as_markdown(outcomes)
    tables['machine'] = ''.join(
        page.wrapped(f'* {line}', '  ') + '\n' for line in about)
    text = path.read_text(encoding='utf-8')
    for name in set(page.places(text)) ^ set(tables):
        complain(f'{path}: no place, or no figures, for the table "{name}"')
    path.write_text(page.fill(text, tables), encoding='utf-8')


def write_picture(path, found):
    drawn = picture.draw(found)
    if drawn is None:
        complain('there are no lookups for a picture')
    else:
        path.write_text(drawn, encoding='utf-8')


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog='tests/run --bench',
        description='Prints how fast this machine is, beside its peers.')
    size = parser.add_mutually_exclusive_group()
    size.add_argument('--quick', action='store_true',
                      help='fewer runs and smaller sizes')
    size.add_argument('--smoke', action='store_true',
                      help='some seconds: whether all programs run and answer '
                      'rightly; no figures')
    size.add_argument('--build', action='store_true',
                      help='build the programs, and run none')
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE',
                        help='write the goals there, a JSON object a line')
    parser.add_argument('--svg', type=pathlib.Path, metavar='FILE',
                        help='write a picture of the lookups there')
    parser.add_argument('--page', type=pathlib.Path, metavar='FILE',
                        help='put the tables into this page')
    parser.add_argument('--list', action='store_true',
                        help='name the programs, and run none')
    parser.add_argument('--programs', type=pathlib.Path, metavar='DIR',
                        default=BUILT, help='where the programs are')
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.list:
        print(*PROGRAMS, sep='\n')
    if arguments.list or arguments.build:   # run.sh has built them
        return 0
    if arguments.smoke:
        return smoke(arguments)
    if arguments.json:
        arguments.json.write_text('')   # fails now, not after 20 minutes
    start = time.monotonic()
    found = results.Results()
    with scratch_directory() as scratch:
        about = machine.describe(scratch)
        about.append('a run with --quick' if arguments.quick else 'a full run')
        print('== machine', *about, '', sep='\n', flush=True)
        failed = measure(arguments.programs.resolve(),
                         '--quick' if arguments.quick else '', scratch, found)
    outcomes = goals.judge(found)
    print(goals.as_text(outcomes))
    print(f'{time.monotonic() - start:.0f} s'
          + ''.join(f'; {name} FAILED' for name in failed))
    if arguments.json:
        arguments.json.write_text(goals.as_json(outcomes), encoding='utf-8')
    if arguments.svg:
        write_picture(arguments.svg, found)
    if arguments.page:
        write_page(arguments.page, found, outcomes, about)
    return 1 if failed else 0


if __name__ == '__main__':
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: interrupted.set())
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        complain('interrupted')
        sys.exit(130)
