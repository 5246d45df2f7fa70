"""What the benchmark programs say, and the tables that people read of it.

A program prints figures as JSON, an object a line and nothing else; `values`
has one figure of each run, and a run asks all the columns in turn:

    {"table": "lookup", "row": "dependent, hit, 1M", "column": "reader",
     "unit": "ns", "values": [251.0, 249.3, 260.1]}

Of a place only the median counts.
"""
import json
import math
import statistics

import page

KEYS = ('table', 'row', 'column', 'unit', 'values')
OURS = ('reader', 'receiver')     # the others in their row are their peers


class Nonsense(Exception):
    """A program printed what is no figure."""


class Cell:
    def __init__(self, unit, values):
        self.unit, self.values = unit, values
        self.median = statistics.median(values)

    def spread(self):
        """How far the runs are apart, as a share of the median."""
        if self.median == 0:
            return 0.0
        return (max(self.values) - min(self.values)) / self.median


def parse(line):
    """Returns the place and the cell that a line tells."""
    try:
        said = json.loads(line)
    except ValueError:
        raise Nonsense(f'no JSON: {line[:100]!r}') from None
    if not isinstance(said, dict) or sorted(said) != sorted(KEYS):
        raise Nonsense(f'not {", ".join(KEYS)}: {line[:100]!r}')
    values = said['values']
    if not all(isinstance(said[key], str) and said[key] for key in KEYS[:4]):
        raise Nonsense(f'a name that is none: {line[:100]!r}')
    if not isinstance(values, list) or not values or not all(
            type(value) in (int, float) and math.isfinite(value) and value >= 0
            for value in values):
        raise Nonsense(f'values that are none: {line[:100]!r}')
    return (said['table'], said['row'], said['column']), Cell(said['unit'],
                                                              values)


class Results:
    """Cells by (table, row, column), in the order in which they were said."""
    def __init__(self):
        self.cells = {}

    def read(self, text):
        """Takes all that a program has printed, or nothing of it; returns the
        names of the tables in it."""
        news = {}
        for line in text.splitlines():
            place, cell = parse(line)
            if place in news or place in self.cells:
                raise Nonsense(f'said twice: {" / ".join(place)}')
            news[place] = cell
        if not news:
            raise Nonsense('it printed no figure')
        self.cells.update(news)
        return list(dict.fromkeys(place[0] for place in news))

    def tables(self):
        return list(dict.fromkeys(place[0] for place in self.cells))

    def rows(self, table):
        return list(dict.fromkeys(row for name, row, _ in self.cells
                                  if name == table))

    def columns(self, table):
        """Ours is the first."""
        names = dict.fromkeys(column for name, _, column in self.cells
                              if name == table)
        return sorted(names, key=lambda name: name not in OURS)

    def median(self, place):
        """None if nobody has said it."""
        cell = self.cells.get(place)
        return cell.median if cell else None


def figure(value):
    """Three digits, or all of those before the point."""
    if value >= 100 or value == 0:
        return f'{value:,.0f}'
    digits = 2 - math.floor(math.log10(value))
    return f'{value:.{min(digits, 6)}f}'


def ratio_text(value, ours):
    return f'{figure(value / ours)}x' if ours else ''


def grid(results, table):
    """The table as lists of words. The first list is the head, and the first
    word of each the row's name. If each row has one unit, they are in a column
    of their own, and what is beside one of ours is told as a ratio to it, too;
    else each column has its unit in the head."""
    columns, rows = results.columns(table), results.rows(table)
    cells = [[results.cells.get((table, row, column)) for column in columns]
             for row in rows]
    units = [{cell.unit for cell in of_row if cell} for of_row in cells]
    if max(map(len, units)) > 1:
        heads = [unit_in_head(column, of_column)
                 for column, of_column in zip(columns, zip(*cells))]
        return [[''] + heads] + [
            [row] + [figure(cell.median) if cell else '-' for cell in of_row]
            for row, of_row in zip(rows, cells)]
    has_ratio = columns[0] in OURS and len(columns) > 1
    head = ['', 'unit', columns[0]]
    for column in columns[1:]:
        head += [column, ''] if has_ratio else [column]
    lines = [head]
    for row, unit, of_row in zip(rows, units, cells):
        ours = of_row[0].median if of_row[0] else 0
        lines.append([row, unit.pop()])
        for n, cell in enumerate(of_row):
            lines[-1].append(figure(cell.median) if cell else '-')
            if n and has_ratio:
                lines[-1].append(ratio_text(cell.median, ours) if cell else '')
    return lines


def unit_in_head(column, cells):
    """A column that tells its unit by its name needs no other."""
    unit = '/'.join(dict.fromkeys(cell.unit for cell in cells if cell))
    return column if unit in column.split() else f'{column} {unit}'


def spread_text(results, table):
    """How far the runs of a table are apart."""
    spreads = {place: cell.spread() for place, cell in results.cells.items()
               if place[0] == table and len(cell.values) > 1}
    if not spreads:
        return ''
    worst = max(spreads, key=spreads.get)
    return (f'Spread of the runs: {statistics.median(spreads.values()):.0%} of'
            f' their median, at most {spreads[worst]:.0%}'
            f' ({worst[1]} / {worst[2]}).')


def aligned(lines):
    """Columns of text: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    sides = ['<' if is_name(n, title) else '>'
             for n, title in enumerate(lines[0])]
    return ['  '.join(f'{word:{side}{width}}' for word, side, width
                      in zip(line, sides, widths)).rstrip()
            for line in lines]


def is_name(n, title):
    return n == 0 or title == 'unit'


def markdown(lines):
    """The same for a page. A word of the head that is empty goes on with the
    column before it, which Markdown does not know: the words are joined."""
    titles = lines[0]
    joined = []
    for line in lines:
        words = []
        for n, (title, word) in enumerate(zip(titles, line)):
            if n and not title:
                words[-1] = f'{words[-1]} ({word})' if word else words[-1]
            else:
                words.append(word)
        joined.append('| ' + ' | '.join(words) + ' |')
    joined.insert(1, ''.join('|---' if is_name(n, title) else '|--:'
                             for n, title in enumerate(titles)
                             if title or n == 0) + '|')
    return joined


def as_text(results, table):
    lines = [f'== {table}'] + aligned(grid(results, table))
    spread = spread_text(results, table)
    return '\n'.join(lines + [spread] * bool(spread)) + '\n'


def as_markdown(results, table):
    lines = markdown(grid(results, table))
    spread = page.wrapped(spread_text(results, table))
    return '\n'.join(lines + ['', spread] * bool(spread)) + '\n'
