#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the unittest cases of one file and prints TAP, a line per case.

What the tests print goes to standard error.
"""

import os
import sys
import unittest


class TapResult(unittest.TestResult):
    def __init__(self, stream):
        super().__init__()
        self.stream = stream
        self.count = 0
        self.problems = []

    def report(self, ok, test, note=''):
        self.count += 1
        name = test.id()
        if isinstance(test, unittest.TestCase):
            name = name.split('.', 1)[-1]
        self.stream.write('%s %d - %s%s\n' % (
            'ok' if ok else 'not ok', self.count, name, note))
        self.stream.flush()

    def startTest(self, test):
        super().startTest(test)
        self.problems = []

    def stopTest(self, test):
        super().stopTest(test)
        for problem in self.problems:
            sys.stderr.write('%s\n%s\n' % (test.id(), problem))
        if self.problems:
            self.report(False, test)

    def add_problem(self, test, err):
        text = self._exc_info_to_string(err, test)
        if isinstance(test, unittest.TestCase):
            self.problems.append(text)
        else:  # setUpClass, setUpModule: there is no startTest
            sys.stderr.write('%s\n%s\n' % (test.id(), text))
            self.report(False, test)

    def addError(self, test, err):
        super().addError(test, err)
        self.add_problem(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.add_problem(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.problems.append('%s\n%s' % (
                subtest.id(), self._exc_info_to_string(err, test)))

    def addSuccess(self, test):
        super().addSuccess(test)
        self.report(True, test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if not self.problems:
            self.report(True, test, ' # SKIP ' + reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.report(True, test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.problems.append('succeeded unexpectedly')


def main():
    sys.dont_write_bytecode = True
    path = os.path.abspath(sys.argv[1])
    stream = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    suite = unittest.TestLoader().discover(
        os.path.dirname(path), pattern=os.path.basename(path))
    result = TapResult(stream)
    suite.run(result)
    stream.write('1..%d\n' % result.count)
    stream.flush()
    return 0 if result.wasSuccessful() and result.count else 1


if __name__ == '__main__':
    sys.exit(main())
