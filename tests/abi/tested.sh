#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every public function is named in a test.
. "$(dirname "$0")/../tap.sh"

untested() {
	local function
	for function in $(grep -ohE '\buidrecv_[a-z0-9_]+\(' "$@" |
		tr -d '(' | sort -u); do
		grep -rlE "\b$function\b" tests/unit tests/integration \
			>/dev/null || echo "no test of $function()"
	done
}

for header in include/uidrecv/*.h; do
	expect_silence "the functions of $(basename "$header") are tested" \
		untested "$header"
done
finish
