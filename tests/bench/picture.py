"""The main table as a picture: how long a lookup takes, here and at the peers.
SVG without scripts and fonts of its own, for light pages and dark ones."""
import math
from xml.sax.saxutils import escape

from results import figure

WAYS = (('dependent', 'one after the other', 'a'),
        ('independent', 'independent of each other', 'b'),
        ('bulk of 16', 'in bulk, if it can', 'c'))
NAMES = {'reader': 'libuidlookup', 'hash': 'private hash table',
         'lmdb': 'LMDB', 'maxminddb': 'libmaxminddb', 'sqlite': 'SQLite',
         'redis': 'Redis'}
LEFT, WIDTH, RIGHT = 150, 720, 110
TOP, BAR, GAP = 66, 13, 11

STYLE = '''
text { font: 13px system-ui, sans-serif; fill: #24292f }
.small { font-size: 11px; fill: #57606a }
.title { font-size: 15px; font-weight: 600 }
.ours { font-weight: 600 }
line { stroke: #d0d7de }
.a { fill: #57606a } .b { fill: #8c959f } .c { fill: #bcc4cc }
.ours.a { fill: #0550ae } .ours.b { fill: #2f81f7 } .ours.c { fill: #80b8ff }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9aa4af } line { stroke: #30363d }
.a { fill: #a3adb8 } .b { fill: #747e89 } .c { fill: #4d565f }
.ours.a { fill: #79c0ff } .ours.b { fill: #388bfd } .ours.c { fill: #1f5fbf }
}
'''


def time_text(ns):
    if ns >= 999.5:
        return f'{figure(ns / 1000)} µs'
    return f'{figure(ns)} ns'


def row_of(way):
    return f'{way}, hit, 1M'


class Scale:
    """Nanoseconds to places, by powers of ten."""
    def __init__(self, values):
        self.low = 10 ** math.floor(math.log10(min(values)))
        self.high = 10 ** math.ceil(math.log10(max(values)))
        if self.high == self.low:
            self.high *= 10

    def x(self, ns):
        share = math.log10(ns / self.low) / math.log10(self.high / self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self):
        tick = self.low
        while tick <= self.high:
            yield tick
            tick *= 10


def text(x, y, words, kind='', anchor='start'):
    return (f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}"'
            f' text-anchor="{anchor}">{escape(words)}</text>')


def legend():
    parts, x = [], LEFT
    for way, words, kind in WAYS:
        parts.append(f'<rect x="{x}" y="36" width="11" height="11"'
                     f' class="{kind}"/>')
        parts.append(text(x + 16, 46, words, 'small'))
        x += 30 + 6 * len(words)
    return parts


def axis(scale, bottom):
    parts = []
    for tick in scale.ticks():
        x = scale.x(tick)
        parts.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 6}"'
                     f' y2="{bottom}"/>')
        words = f'{tick:g} ns' if tick < 1000 else f'{tick / 1000:g} µs'
        parts.append(text(x, bottom + 15, words, 'small', 'middle'))
    return parts


def group(name, bars, scale, ours, y):
    """The bars of one column, and its name beside them."""
    kind = 'ours' if name == 'reader' else ''
    middle = y + len(bars) * (BAR + 1) / 2 + 4
    parts = [text(LEFT - 10, middle, NAMES.get(name, name), kind, 'end')]
    for way, colour, ns in bars:
        x = scale.x(ns)
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{x - LEFT:.1f}"'
                     f' height="{BAR}" class="{kind} {colour}"/>')
        words = time_text(ns)
        if name != 'reader' and way in ours:
            words += f'  ({figure(ns / ours[way])} ×)'
        parts.append(text(x + 6, y + BAR - 3, words, 'small'))
        y += BAR + 1
    return parts


def draw(results):
    """The picture, or None if our own figures are not there."""
    columns = {}
    for name in results.columns('lookup') if results.cells else ():
        bars = [(way, colour, results.median(('lookup', row_of(way), name)))
                for way, _, colour in WAYS]
        columns[name] = [bar for bar in bars if bar[2]]
    if not columns.get('reader'):
        return None
    ours = {way: ns for way, _, ns in columns['reader']}
    names = sorted((name for name in columns if columns[name]),
                   key=lambda name: (name != 'reader', columns[name][0][2]))
    scale = Scale([ns for name in names for _, _, ns in columns[name]])
    parts, y = [], TOP
    for name in names:
        parts += group(name, columns[name], scale, ours, y)
        y += len(columns[name]) * (BAR + 1) + GAP
    height = y + 24
    about = '; '.join(f'{NAMES.get(name, name)} '
                      f'{time_text(columns[name][0][2])}' for name in names)
    return '\n'.join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH}'
        f' {height}" width="{WIDTH}" height="{height}" role="img"'
        f' aria-labelledby="title about">',
        '<title id="title">Time of a lookup among 1,000,000 mappings</title>',
        f'<desc id="about">One after the other, on a logarithmic scale:'
        f' {escape(about)}.</desc>',
        f'<style>{STYLE}</style>',
        text(LEFT, 22, 'Time of a lookup among 1,000,000 mappings', 'title'),
        *legend(), *axis(scale, y - GAP + 4), *parts, '</svg>']) + '\n'
