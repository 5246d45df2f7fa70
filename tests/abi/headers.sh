#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Each public header can be included first and twice, in C and in C++.
. "$(dirname "$0")/../tap.sh"

compile() {
	printf '#include <uidrecv/%s>\n' "$1" "$1" |
		"${@:2}" -Iinclude -Wall -Wextra -Werror -pedantic \
			-fsyntax-only -
}

for header in include/uidrecv/*.h; do
	header=$(basename "$header")
	expect_silence "$header is C11" \
		compile "$header" "${CC:-cc}" -std=c11 -x c
	expect_silence "$header is C++11" \
		compile "$header" "${CXX:-c++}" -std=c++11 -x c++
done
finish
