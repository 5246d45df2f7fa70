"""The goals: what a figure is compared with, and whether it is reached.

Each is judged by medians of the same run of the benchmark. A figure that
nobody has said is a goal that is missed.
"""
import collections
import json

from results import aligned, figure, markdown

# What is compared; ours, a place in the results, and the unit in which it is
# told; theirs, the place it is compared with, or None; how; and the goal, for
# the ratio, or for the figure itself if there is none.
Goal = collections.namedtuple('Goal', 'name ours unit theirs how goal')
Outcome = collections.namedtuple('Outcome',
                                 'name value unit ratio goal met verdict')

# How theirs and ours, the figures, make a ratio.
FASTER = 'theirs by ours'
SHARE = 'ours by theirs'

# What a unit measures, and how much of that it is.
UNITS = {'ns': ('time', 1e-9), 'us': ('time', 1e-6), 'ms': ('time', 1e-3),
         's': ('time', 1), '1/s': ('rate', 1), 'k/s': ('rate', 1e3),
         'M/s': ('rate', 1e6), 'B': ('bytes', 1), 'KiB': ('bytes', 1024),
         '1': ('count', 1)}


def lookup(name, row, column, how, goal):
    return Goal(name, ('lookup', row, 'reader'), 'ns',
                ('lookup', row, column), how, goal)


def absolute(name, ours, unit, goal):
    return Goal(name, ours, unit, None, None, goal)


def share(name, ours, unit, theirs, goal):
    return Goal(name, ours, unit, theirs, SHARE, goal)


DEPENDENT = 'dependent, hit, 1M'
INDEPENDENT = 'independent, hit, 1M'
BULK = 'bulk of 16, hit, 1M'
CLAIMS = 'changed claims, end to end'

GOALS = (
    lookup('dependent lookup, faster than bare mdb_get',
           DEPENDENT, 'lmdb', FASTER, '>= 3.5'),
    lookup('dependent lookup, against a private hash table',
           DEPENDENT, 'hash', SHARE, '<= 1.3'),
    lookup('dependent lookup, faster than libmaxminddb',
           DEPENDENT, 'maxminddb', FASTER, '>= 4'),
    lookup('dependent lookup, faster than SQLite',
           DEPENDENT, 'sqlite', FASTER, '>= 10'),
    lookup('dependent lookup, faster than Redis',
           DEPENDENT, 'redis', FASTER, '>= 90'),
    lookup('independent lookup, faster than bare mdb_get',
           INDEPENDENT, 'lmdb', FASTER, '>= 8'),
    lookup('bulk of 16, against a private hash table in bulk',
           BULK, 'hash', SHARE, '<= 1.4'),
    lookup('bulk of 16, faster than bare mdb_get',
           BULK, 'lmdb', FASTER, '>= 12'),
    lookup('bulk of 16, faster than Redis in a pipeline',
           BULK, 'redis', FASTER, '>= 25'),
    share('p99 of a lookup, receiver at full speed against idle',
          ('latency', 'p99', 'receiver at full speed'), 'ns',
          ('latency', 'p99', 'idle'), '<= 1.2'),
    share('lookups of 2 processes, against 1',
          ('throughput', '2 processes', 'reader'), 'M/s',
          ('throughput', '1 process', 'reader'), '>= 1.9'),
    share('changed claims over TLS with fsync, against bare LMDB puts',
          ('ingest', CLAIMS, 'receiver'), 'k/s',
          ('ingest', CLAIMS, 'bare lmdb'), '>= 0.8'),
    absolute('unchanged refreshes over TLS, per core',
             ('ingest', 'unchanged refreshes, per core of the receiver',
              'receiver'), 'M/s', '>= 2'),
    absolute('REFRESH ALL of 1 M, frames',
             ('refresh all', 'frames', 'receiver'), '1', '<= 1'),
    absolute('REFRESH ALL of 1 M, CPU of the receiver',
             ('refresh all', 'receiver CPU', 'receiver'), 'ms', '<= 1'),
    absolute('bytes written per changed claim, full load',
             ('bytes written', 'per changed claim, full load', 'receiver'),
             'B', '<= 4000'),
    absolute('bytes written per unchanged refresh',
             ('bytes written', 'per unchanged refresh', 'receiver'),
             'B', '<= 50'),
    absolute('idle mTLS connection, memory of the whole process',
             ('connections', 'memory of an idle connection', 'receiver'),
             'KiB', '<= 28'),
    share('handshakes, against bare OpenSSL',
          ('connections', 'handshakes', 'receiver'), '1/s',
          ('connections', 'handshakes', 'bare openssl'), '>= 0.9'),
    share('start with 1 M, against a bare scan of the store',
          ('start', '1M', 'receiver'), 'ms',
          ('start', '1M', 'bare scan'), '<= 5'),
    absolute('memory of the table per mapping',
             ('table', 'bytes a mapping', 'receiver'), 'B', '<= 160'),
)


def is_met(reached, goal):
    sign, limit = goal.split()
    if sign == '>=':
        return reached >= float(limit)
    return reached <= float(limit)


def told_in(unit, results, place):
    """The median at a place; None if nobody has said it, or in what cannot be
    told in this unit."""
    cell = results.cells.get(place)
    if not cell or UNITS.get(cell.unit, '?')[0] != UNITS[unit][0]:
        return None
    return cell.median * (UNITS[cell.unit][1] / UNITS[unit][1])


def judge_one(goal, results):
    value = told_in(goal.unit, results, goal.ours)
    ratio, reached = None, value
    if goal.theirs:
        theirs = told_in(goal.unit, results, goal.theirs)
        if value and theirs:
            ratio = theirs / value if goal.how == FASTER else value / theirs
        reached = ratio
    verdict = 'missing'
    if reached is not None:
        verdict = 'met' if is_met(reached, goal.goal) else 'missed'
    return Outcome(goal.name, value, goal.unit, ratio, goal.goal,
                   verdict == 'met', verdict)


def judge(results):
    return [judge_one(goal, results) for goal in GOALS]


def as_json(outcomes):
    """An object a line, with numbers of six digits."""
    text = ''
    for outcome in outcomes:
        said = outcome._asdict()
        del said['verdict']
        for key in ('value', 'ratio'):
            if said[key] is not None:
                said[key] = float(f'{said[key]:.6g}')
        text += json.dumps(said) + '\n'
    return text


def grid(outcomes):
    lines = [['goal', 'unit', 'figure', 'ratio', 'goal', '']]
    for outcome in outcomes:
        lines.append([
            outcome.name, '' if outcome.unit == '1' else outcome.unit,
            '-' if outcome.value is None else figure(outcome.value),
            '' if outcome.ratio is None else f'{outcome.ratio:.4g}',
            outcome.goal, outcome.verdict])
    return lines


def count_text(outcomes):
    met = sum(outcome.met for outcome in outcomes)
    return f'{met} of {len(outcomes)} goals are met.'


def as_text(outcomes):
    return '\n'.join(['== goals'] + aligned(grid(outcomes))
                     + [count_text(outcomes)]) + '\n'


def as_markdown(outcomes):
    lines = grid(outcomes)
    lines[0] = ['what', 'unit', 'figure', 'ratio', 'goal', 'reached']
    return '\n'.join(markdown(lines) + ['', count_text(outcomes)]) + '\n'
