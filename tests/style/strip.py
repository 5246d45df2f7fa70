#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints C files as FILE:LINE:CODE, without comments and without strings."""

import re
import sys

SKIPPED = re.compile(
    r'/\*.*?\*/|//[^\n]*'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'", re.DOTALL)


def blank(match):
    text = match.group()
    if text[0] == '/':
        return ' ' + '\n' * text.count('\n')
    return text[0] * 2


for path in sys.argv[1:]:
    with open(path, encoding='utf-8') as file:
        code = SKIPPED.sub(blank, file.read())
    for number, line in enumerate(code.split('\n'), 1):
        if line.strip():
            print('%s:%d:%s' % (path, number, line))
