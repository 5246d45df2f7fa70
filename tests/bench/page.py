"""Puts the tables of a run into a page, each between two lines that stay:

    <!-- table: lookup -->
    <!-- end of table -->

`goals` and `machine` are tables, too.
"""
import re
import textwrap

WIDTH = 88      # of words; tables are as wide as they are
PLACE = re.compile(r'^<!-- table: ([^\n]+) -->\n.*?^<!-- end of table -->$',
                   re.DOTALL | re.MULTILINE)


def wrapped(text, indent=''):
    return textwrap.fill(text, WIDTH, subsequent_indent=indent,
                         break_long_words=False, break_on_hyphens=False)


def places(page):
    """The names of the tables that the page has."""
    return [match.group(1) for match in PLACE.finditer(page)]


def fill(page, tables):
    """Returns the page with the texts in tables, by name; what is not there
    stays as it is on the page."""
    def text(match):
        name = match.group(1)
        if name not in tables:
            return match.group(0)
        return (f'<!-- table: {name} -->\n\n{tables[name]}\n'
                '<!-- end of table -->')
    return PLACE.sub(text, page)
