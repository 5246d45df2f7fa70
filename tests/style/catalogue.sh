#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The catalogue of faults in doc/reliability.md is true: each of its rows names
# the files whose tests have the id in their names, and all of them; and what is
# named elsewhere on that page as a test is one.
. "$(dirname "$0")/../tap.sh"

page=doc/reliability.md
mapfile -t files < <(source_files 'tests/unit/*.c' 'tests/integration/*.c' \
	'tests/integration/*.py' 'tests/sync/*.c' 'tests/sync/*.py' 'tests/ts/*.c' \
	'tests/ts/*.py')

# FILE NAME of every test. A name of C may stand on a line of its own.
test_names() {
	local file
	for file; do
		tr '\n' ' ' <"$file" |
			grep -oE '(\<Test\([a-z_0-9]+,[[:space:]]*|\<def test_)\w+' |
			sed -E "s,^(Test\([a-z_0-9]+\,[[:space:]]*|def test_),${file#tests/} ,"
	done
}

# ID FILE of every id with which the name of a test begins: P02_p04_more.
ids_of_tests() {
	awk '{
		while (match($2, /^[SNIPTCAOsniptcao][0-9][0-9](_|$)/)) {
			print toupper(substr($2, 1, 3)), $1
			$2 = substr($2, RLENGTH + 1)
		}
	}' "$1" | sort -u
}

# ID FILE of every file in the last column of a row.
ids_of_page() {
	awk -F '|' '$2 ~ /^ [A-Z][0-9][0-9] $/ {
		split($0, words, "`")
		count = split($(NF - 1), words, "`")
		for (i = 2; i <= count; i += 2)
			print substr($2, 2, 3), words[i]
	}' "$page" | sort -u
}

rows_twice() {
	awk -F '|' '$2 ~ /^ [A-Z][0-9][0-9] $/ && seen[$2]++ {
		print FILENAME ":" FNR ": a second row of" $2
	}' "$page"
}

differ() {
	comm -23 "$1" "$2" |
		sed -E "s,(.*) (.*),$page: the row of \1 lacks \2,"
	comm -13 "$1" "$2" |
		sed -E "s,(.*) (.*),$page: no test in \2 has \1 in its name,"
}

# In the text a test is `a_name_of_many_words`.
# shellcheck disable=SC2016 # backquotes of the page
unknown_tests() {
	grep -oE '`[A-Za-z0-9]+(_[A-Za-z0-9]+){2,}`' "$page" | tr -d '`' |
		grep -vi '^uidrecv_' | sort -u | while read -r name; do
		awk -v name="$name" '$2 == name { found = 1 } END { exit !found }' \
			"$1" || echo "$page: there is no test $name"
	done
}

# shellcheck disable=SC2016 # backquotes of the page
unknown_files() {
	grep -oE '`(unit|integration|sync|ts|abi|style|bench)/[A-Za-z0-9_./-]+`' "$page" |
		tr -d '`' | sort -u | while read -r file; do
		[ -f "tests/$file" ] || echo "$page: there is no tests/$file"
	done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
test_names "${files[@]}" >"$work/names"
ids_of_tests "$work/names" >"$work/tests"
ids_of_page >"$work/page"
expect_silence "the $(cut -c 1-3 "$work/page" | sort -u | wc -l) rows name \
the tests of their faults" differ "$work/tests" "$work/page"
expect_silence 'no fault has two rows' rows_twice
expect_silence 'tests that are named exist' unknown_tests "$work/names"
expect_silence 'files that are named exist' unknown_files
finish
