#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Builds a Criterion program for each way to fail and runs it as tests/run
# does. Criterion by itself calls some of them passed. And Python files, of which
# one runs beside the other.
. "$(dirname "$0")/../tap.sh"

top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
here=tests/runner

# outcome PASSED FAILED PLANT: what the runner counts.
outcome() {
	local want=$1 plant=$2 program=$top/$2 last
	"${CC:-cc}" -g -fsanitize=address,undefined -DPLANT="$plant" \
		$here/planted.c -o "$program" -lcriterion || return
	last=$(UIDRECV_TEST_TIMEOUT=3 tests/run --program "$program" 2>&1 |
		tail -n 1)
	[ "$last" = "$want" ] || echo "$plant: $last"
}

expect_silence 'a program without a failure' \
	outcome '2 passed, 0 failed, 0 skipped' NOTHING
for plant in ASSERTION CRASH STATUS HANG LEAK OVERFLOW; do
	expect_silence "a case that fails by $plant" \
		outcome '1 passed, 1 failed, 0 skipped' $plant
done
for plant in FINI LATE_STATUS; do
	expect_silence "a program that fails by $plant" \
		outcome '2 passed, 1 failed, 0 skipped' $plant
done

# pair MARK COUNTS: of two files in a suite the one that says MARK fails.
pair() {
	local copy=$top/with\ a\ space file last
	rm -rf "$copy"
	mkdir -p "$copy/tests/style"
	cp -r .ci "$copy"
	cp tests/run tests/pytests.py "$copy/tests"
	for file in 'Mostly waits.' 'Mostly works.'; do
		cat >"$copy/tests/style/test_${file//[^a-z]/}.py" <<-END
			# $file
			import unittest
			class Case(unittest.TestCase):
			    def test_one(self):
			        self.assertNotEqual('$file', '$1')
		END
	done
	last=$("$copy/tests/run" --suite style 2>&1 | tail -n 1)
	[ "$last" = "$2" ] || echo "$1 $last"
}

expect_silence 'one file beside another' pair '' '2 passed, 0 failed, 0 skipped'
for mark in 'Mostly waits.' 'Mostly works.'; do
	expect_silence "a failure in the file that says: $mark" \
		pair "$mark" '1 passed, 1 failed, 0 skipped'
done
finish
