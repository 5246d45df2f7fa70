"""tests/bench/run.py: its arithmetic, its tables, its picture, and what it
does with programs that fail. Nothing is measured: the programs are scripts.
"""
# Needs nothing that is built.
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

BENCH = pathlib.Path(__file__).resolve().parents[1] / 'bench'
sys.path.insert(0, str(BENCH))
import goals
import machine
import page
import picture
import results
import run


def line(table, row, column, unit, *values):
    return json.dumps({'table': table, 'row': row, 'column': column,
                       'unit': unit, 'values': values}) + '\n'


DEPENDENT = ('lookup', 'dependent, hit, 1M')
LOOKUPS = (line(*DEPENDENT, 'lmdb', 'ns', 900, 700, 800)
           + line(*DEPENDENT, 'reader', 'ns', 230, 190, 200)
           + line(*DEPENDENT, 'hash', 'ns', 150)
           + line('lookup', 'clock, boot', 'reader', 'ns', 46)
           + line('lookup', 'bulk of 16, hit, 1M', 'reader', 'ns', 50)
           + line('lookup', 'bulk of 16, hit, 1M', 'redis', 'ns', 1250))


def found(text=LOOKUPS):
    all_of_it = results.Results()
    all_of_it.read(text)
    return all_of_it


def outcome(text, words):
    """What is said of the one goal whose name begins with these words."""
    chosen, = [outcome for outcome in goals.judge(found(text))
               if outcome.name.startswith(words)]
    return chosen


class TestResults(unittest.TestCase):
    def test_the_median_counts(self):
        place = (*DEPENDENT, 'reader')
        self.assertEqual(found().cells[place].median, 200)
        self.assertAlmostEqual(found().cells[place].spread(), 0.2)

    def test_nonsense_is_refused(self):
        good = line('t', 'r', 'c', 'ns', 1)
        for bad in ('200 ns', '[]', '{"table": "t"}', '', good + good,
                    line('t', 'r', 'c', 'ns'), line('t', '', 'c', 'ns', 1),
                    line('t', 'r', 'c', 'ns', '1'),
                    line('t', 'r', 'c', 'ns', -1),
                    line('t', 'r', 'c', 'ns', True),
                    line('t', 'r', 'c', 'ns', float('nan')),
                    good.replace('"unit"', '"units"')):
            with self.subTest(bad), self.assertRaises(results.Nonsense):
                found(bad)

    def test_nothing_is_taken_of_what_is_nonsense_in_part(self):
        all_of_it = found()
        before = dict(all_of_it.cells)
        with self.assertRaises(results.Nonsense):
            all_of_it.read(line('t', 'r', 'c', 'ns', 1) + LOOKUPS)
        self.assertEqual(all_of_it.cells, before)

    def test_ours_is_the_first_column(self):
        self.assertEqual(found().columns('lookup'),
                         ['reader', 'lmdb', 'hash', 'redis'])

    def test_figures_have_three_digits(self):
        for value, text in ((0, '0'), (0.01234, '0.0123'), (1.2, '1.20'),
                            (56.78, '56.8'), (999.6, '1,000'),
                            (1234567.8, '1,234,568'), (1e-9, '0.000000')):
            self.assertEqual(results.figure(value), text)


class TestTables(unittest.TestCase):
    def test_text_is_aligned_and_tells_ratios_to_ours(self):
        self.assertEqual(results.as_text(found(), 'lookup'), '''\
== lookup
                     unit  reader  lmdb         hash          redis
dependent, hit, 1M   ns       200   800  4.00x   150  0.750x      -
clock, boot          ns      46.0     -            -              -
bulk of 16, hit, 1M  ns      50.0     -            -          1,250  25.0x
Spread of the runs: 22% of their median, at most 25% (dependent, \
hit, 1M / lmdb).
''')

    def test_columns_of_different_units_say_them(self):
        text = (line('growth', '1M', 'lookup ns', 'ns', 200)
                + line('growth', '1M', 'table', 'B', 1024)
                + line('growth', '10M', 'table', 'B', 2048))
        self.assertEqual(results.as_text(found(text), 'growth'), '''\
== growth
     lookup ns  table B
1M         200    1,024
10M          -    2,048
''')
        self.assertEqual(results.as_markdown(found(text), 'growth'), '''\
|  | lookup ns | table B |
|---|--:|--:|
| 1M | 200 | 1,024 |
| 10M | - | 2,048 |
''')

    def test_a_page_has_the_same_words(self):
        self.assertEqual(results.as_markdown(found(), 'lookup'), '''\
|  | unit | reader | lmdb | hash | redis |
|---|---|--:|--:|--:|--:|
| dependent, hit, 1M | ns | 200 | 800 (4.00x) | 150 (0.750x) | - |
| clock, boot | ns | 46.0 | - | - | - |
| bulk of 16, hit, 1M | ns | 50.0 | - | - | 1,250 (25.0x) |

Spread of the runs: 22% of their median, at most 25% (dependent, \
hit, 1M / lmdb).
''')

    def test_words_are_wrapped_on_a_page_and_tables_are_not(self):
        text = LOOKUPS.replace('dependent, hit', 'dependent, ' + 'hit ' * 20)
        lines = results.as_markdown(found(text), 'lookup').splitlines()
        self.assertGreater(max(map(len, lines)), page.WIDTH)
        for words in lines:
            if not words.startswith('|'):
                self.assertLessEqual(len(words), page.WIDTH)

    def test_a_page_is_filled_in_at_its_places_alone(self):
        text = ('a\n<!-- table: x -->\nold\n<!-- end of table -->\nb\n'
                '<!-- table: y -->\nkept\n<!-- end of table -->\nc\n')
        filled = page.fill(text, {'x': '| 1 |\n| \\1 |\n', 'z': 'none'})
        self.assertEqual(filled, text.replace('old', '\n| 1 |\n| \\1 |\n'))
        self.assertEqual(page.fill(filled, {'x': '| 1 |\n| \\1 |\n'}), filled)


class TestGoals(unittest.TestCase):
    def test_faster_is_theirs_by_ours(self):
        chosen = outcome(LOOKUPS, 'dependent lookup, faster than bare')
        self.assertEqual(chosen[1:], (200, 'ns', 4, '>= 3.5', True, 'met'))

    def test_a_share_is_ours_by_theirs(self):
        chosen = outcome(LOOKUPS, 'dependent lookup, against a private hash')
        self.assertEqual(chosen[1:],
                         (200, 'ns', 200 / 150, '<= 1.3', False, 'missed'))

    def test_a_limit_is_met_exactly(self):
        self.assertTrue(outcome(LOOKUPS, 'bulk of 16, faster than Redis').met)
        for limit, value, met in (('>= 2', 2, True), ('>= 2', 1.999, False),
                                  ('<= 2', 2, True), ('<= 2', 2.001, False)):
            self.assertEqual(goals.is_met(value, limit), met)

    def test_units_are_converted(self):
        cpu = 'REFRESH ALL of 1 M, CPU'
        row = ('refresh all', 'receiver CPU', 'receiver')
        self.assertEqual(outcome(line(*row, 'us', 999), cpu)[1:],
                         (0.999, 'ms', None, '<= 1', True, 'met'))
        for unit, value, verdict in (('us', 1001, 'missed'),
                                     ('s', 0.001, 'met'), ('B', 1, 'missing')):
            self.assertEqual(outcome(line(*row, unit, value), cpu).verdict,
                             verdict)

    def test_what_nobody_measured_is_missed(self):
        for words in ('memory of the table', 'dependent lookup, faster than S',
                      'handshakes'):
            chosen = outcome(LOOKUPS, words)
            self.assertIs(chosen.met, False)
            self.assertIsNone(chosen.ratio)
            self.assertEqual(chosen.verdict, 'missing')
        self.assertIn('3 of 21 goals are met.',
                      goals.as_text(goals.judge(found(
                          LOOKUPS + line('table', 'bytes a mapping',
                                         'receiver', 'B', 150)))))

    def test_nothing_is_divided_by_nothing(self):
        text = line('ingest', goals.CLAIMS, 'receiver', 'k/s', 0)
        text += line('ingest', goals.CLAIMS, 'bare lmdb', 'k/s', 0)
        self.assertEqual(outcome(text, 'changed claims').verdict, 'missing')

    def test_no_bytes_at_all_are_few(self):
        row = 'per unchanged refresh'
        text = line('bytes written', row, 'receiver', 'B', 0)
        self.assertTrue(outcome(text, f'bytes written {row}').met)

    def test_json_is_an_object_a_line_for_each_goal(self):
        lines = [json.loads(text) for text in goals.as_json(
            goals.judge(found())).splitlines()]
        self.assertEqual(len(lines), len(goals.GOALS))
        self.assertEqual(len({said['name'] for said in lines}), len(lines))
        self.assertEqual(lines[1], {
            'name': 'dependent lookup, against a private hash table',
            'value': 200, 'unit': 'ns', 'ratio': 1.33333, 'goal': '<= 1.3',
            'met': False})
        self.assertEqual(lines[-1], {
            'name': 'memory of the table per mapping', 'value': None,
            'unit': 'B', 'ratio': None, 'goal': '<= 160', 'met': False})


class TestPicture(unittest.TestCase):
    def test_it_is_well_formed_small_and_says_what_it_shows(self):
        text = picture.draw(found())
        root = xml.etree.ElementTree.fromstring(text)
        space = '{http://www.w3.org/2000/svg}'
        self.assertEqual(root.tag, space + 'svg')
        self.assertIn('lookup', root.find(space + 'title').text)
        self.assertIn('libuidlookup 200 ns; private hash table 150 ns; LMDB',
                      root.find(space + 'desc').text)
        self.assertLess(len(text), 10_000)
        self.assertNotIn('script', text)
        self.assertIn('prefers-color-scheme: dark', text)

    def test_a_bar_is_as_long_as_the_logarithm(self):
        scale = picture.Scale([20, 900])
        self.assertEqual(list(scale.ticks()), [10, 100, 1000])
        self.assertAlmostEqual(scale.x(100) - scale.x(10),
                               scale.x(1000) - scale.x(100))
        self.assertEqual(list(picture.Scale([100]).ticks()), [100, 1000])

    def test_there_is_none_without_our_own_figures(self):
        self.assertIsNone(picture.draw(results.Results()))
        self.assertIsNone(picture.draw(found(line(*DEPENDENT, 'lmdb',
                                                      'ns', 900))))


class TestPages(unittest.TestCase):
    """What is committed is of a run, and of one with these goals."""
    DOC = BENCH.parents[1] / 'doc'

    def test_every_place_is_filled_in(self):
        text = (self.DOC / 'performance.md').read_text(encoding='utf-8')
        self.assertGreater(len(page.places(text)), 10)
        self.assertNotIn('-->\n<!-- end of table', text)

    def test_the_goals_are_these(self):
        text = (self.DOC / 'performance.md').read_text(encoding='utf-8')
        rows = [row.strip('| ').split(' | ') for row in text.splitlines()
                if row.startswith('| ')]
        for goal in goals.GOALS:
            row, = [row for row in rows if row[0] == goal.name]
            self.assertEqual(row[4], goal.goal)
            self.assertIn(row[5], ('met', 'missed'))

    def test_the_picture_is_of_the_same_run(self):
        text = (self.DOC / 'performance.md').read_text(encoding='utf-8')
        drawn = (self.DOC / 'lookup.svg').read_text(encoding='utf-8')
        row, = [row for row in text.splitlines()
                if row.startswith('| dependent, hit, 1M | ns |')]
        ours = row.strip('| ').split(' | ')[2]
        self.assertIn(f'libuidlookup {ours} ns', drawn)


class TestMachine(unittest.TestCase):
    def test_the_innermost_file_system_is_named(self):
        mounts = ('/dev/a / ext4 rw 0 0\nnone /x tmpfs rw 0 0\n'
                  'none /x/deep\\040er xfs rw 0 0\n')
        for directory, text in (('/x/deep er/y', 'xfs at /x/deep er'),
                                ('/x', 'tmpfs at /x'), ('/xy', 'ext4 at /')):
            self.assertEqual(machine.file_system(directory, mounts), text)

    def test_it_is_described_wherever_this_runs(self):
        self.assertEqual(len(machine.describe('/')), 4)


class TestRun(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def program(self, name, script):
        file = self.path / name
        file.write_text('#!/bin/sh\n' + script)
        file.chmod(0o755)
        return str(file)

    def programs(self, **other):
        for name in run.PROGRAMS:
            script = other.get(name.replace('-', '_'))
            words = line(name, 'row', 'column', 'ns', 1)
            self.program(name, script or f"echo '{words[:-1]}'\n")

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, '-B', BENCH / 'run.py', '--programs', self.path,
             *arguments], encoding='utf-8', stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, 'TMPDIR': str(self.path)})

    def run_all(self, *arguments):
        child = self.start(*arguments)
        said, complaints = child.communicate(timeout=60)
        return child.returncode, said, complaints

    def test_goals_may_be_missed(self):
        self.programs()
        file = self.path / 'goals.json'
        status, said, _ = self.run_all('--json', file)
        self.assertEqual(status, 0)
        self.assertIn('0 of 21 goals are met.', said)
        self.assertEqual(len(file.read_text().splitlines()), 21)
        self.assertEqual(list(self.path.glob('uidrecv-*')), [])

    def test_what_fails_is_named_and_the_others_run(self):
        self.programs(bench_readers='echo oh dear >&2; exit 3',
                      bench_start='kill -SEGV $$', bench_ingest='echo 1 ns')
        (self.path / 'bench-growth').unlink()
        status, said, complaints = self.run_all()
        self.assertEqual(status, 1)
        for words in ('bench-readers FAILED: ended with status 3; its last '
                      'words:\noh dear\n',
                      'bench-start FAILED: ended by signal 11\n',
                      "bench-ingest FAILED: no JSON: ",
                      'bench-growth FAILED: cannot be started: No such file'):
            self.assertIn(words, complaints)
        self.assertIn('== bench-connections\n', said)
        for name in ('readers', 'start', 'ingest', 'growth'):
            self.assertIn(f'; bench-{name} FAILED', said)
            self.assertNotIn(f'== bench-{name}\n', said)

    def test_quick_is_passed_on(self):
        self.programs(bench_start='[ "$*" = --quick ] || exit 1\n'
                      f"echo '{line('t', 'r', 'c', 'ns', 1)[:-1]}'")
        self.assertEqual(self.run_all('--quick')[0], 0)
        self.assertEqual(self.run_all()[0], 1)

    def programs_with_all_figures(self, **other):
        """They are in a file, which is returned."""
        figures = {(*place, goal.unit) for goal in goals.GOALS
                   for place in (goal.ours, goal.theirs) if place}
        file = self.path / 'figures'
        file.write_text(''.join(line(*figure, 1)
                                for figure in sorted(figures)))
        self.programs(bench_start='[ "$*" = --smoke ] || exit 1\n'
                      f'echo chatter >&2; cat {file}', **other)
        return file

    def test_a_smoke_has_figures_for_all_goals_and_prints_none(self):
        file = self.programs_with_all_figures()
        status, said, complaints = self.run_all('--smoke')
        self.assertEqual((status, said), (
            0, '6 of 6 programs ran and answered rightly, with figures for '
            '21 of 21 goals.\n'))
        self.assertNotIn('chatter', complaints)
        file.write_text(file.read_text().replace('"frames"', '"frame"'))
        status, said, complaints = self.run_all('--smoke')
        self.assertEqual(status, 1)
        self.assertIn('with figures for 20 of 21 goals', said)
        self.assertIn('no figures for the goal "REFRESH ALL of 1 M, frames"\n',
                      complaints)

    def test_a_smoke_fails_with_a_program(self):
        self.programs_with_all_figures(
            bench_growth='echo oh dear >&2; exit 1')
        status, said, complaints = self.run_all('--smoke')
        self.assertEqual(status, 1)
        self.assertIn('5 of 6 programs ran', said)
        self.assertIn('bench-growth FAILED: ended with status 1; its last '
                      'words:\noh dear\n', complaints)

    def test_nothing_runs_if_it_is_to_be_built_or_listed(self):
        self.programs(**{name.replace('-', '_'): f'touch {self.path}/ran\n'
                         for name in run.PROGRAMS})
        self.assertEqual(self.run_all('--build')[:2], (0, ''))
        self.assertEqual(self.run_all('--list')[:2],
                         (0, '\n'.join(run.PROGRAMS) + '\n'))
        self.assertEqual(self.run_all('--smoke', '--quick')[0], 2)
        self.assertFalse((self.path / 'ran').exists())

    def test_what_hangs_is_ended_with_all_that_it_started(self):
        name = self.program('hangs', 'sleep 1000 &\n'
                            f'echo $! >{self.path}/pid\nwait')
        with self.assertRaisesRegex(run.Failed, 'has not ended after 0.5 s'):
            run.run(name, [], self.folder.name, limit_s=0.5)
        self.assert_gone(int((self.path / 'pid').read_text()))

    def test_what_is_left_behind_is_ended(self):
        name = self.program('leaves', 'sleep 1000 >/dev/null 2>&1 &\n'
                            f'echo $! >{self.path}/pid\necho said')
        self.assertEqual(run.run(name, [], self.folder.name), 'said\n')
        self.assert_gone(int((self.path / 'pid').read_text()))

    def test_an_interrupt_ends_the_programs(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            file = self.path / 'pid'
            self.programs(bench_lookup=f'echo $$ >{file}.new\n'
                          f'mv {file}.new {file}\nexec sleep 1000')
            child = self.start()
            while not file.exists():
                time.sleep(0.01)
            child.send_signal(number)
            _, complaints = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 130)
            self.assertIn('interrupted', complaints)
            self.assert_gone(int(file.read_text()))
            file.unlink()

    def assert_gone(self, pid):
        """A process that was ended may be there until its parent looks."""
        for _ in range(500):
            try:
                stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
            except FileNotFoundError:
                return
            if stat.rpartition(')')[2].split()[0] == 'Z':
                return
            time.sleep(0.01)
        self.fail(f'process {pid} is still there')


if __name__ == '__main__':
    unittest.main()
