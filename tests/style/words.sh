#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Words that must not be in the source, and functions that must not be called.
. "$(dirname "$0")/../tap.sh"

mapfile -t all < <(source_files '*.c' '*.h' '*.py' '*.sh' '*.awk' '*.build' \
	'*.md' '*.map' '*.txt' '.ci/*' 'tests/run' 'examples/*')
self=tests/style/words.sh

# find_word REGEX FILE...
find_word() {
	local regex=$1
	shift
	printf '%s\n' "$@" | grep -vxF -e "$self" -e tests/style/selftest.sh |
		tr '\n' '\0' | xargs -0 -r grep -nHIE -e "$regex"
	return 0
}

# find_call NAMES FILE...: names are separated by |.
find_call() {
	local names=$1
	shift
	python3 tests/style/strip.py "$@" |
		grep -E ":.*:(.*[^A-Za-z0-9_.>])?($names) *\("
	return 0
}

unlicensed() {
	local file
	for file; do
		head -n 3 "$file" | grep 'SPDX-License-Identifier: BSD-2' >/dev/null ||
			echo "$file has no SPDX line"
	done
}

endings() {
	grep -nHIE -e '[[:blank:]]+$' -e $'\r' "$@"
	return 0
}

mapfile -t code < <(source_files '*.c' '*.h')
mapfile -t library < <(source_files 'lib/*.[ch]' 'include/uidrecv/*.h')
mapfile -t programs < <(source_files 'lib/*.[ch]' 'examples/*.[ch]' \
	'fuzz/*.[ch]')
copy='strcpy|strcat|stpcpy|sprintf|vsprintf|gets|strtok|atoi|atol|atoll'
copy+='|alloca|tmpnam|mktemp|bzero|bcopy|rand|srand'
expect_silence 'nothing is left to do' \
	find_word '\b(TODO|FIXME|XXX|HACK)\b' "${all[@]}"
expect_silence 'no path of one machine' \
	find_word '(^|[^[:alnum:]_.])/(work|root|home/[a-z]+|tmp/wt)(/|\b)' \
	"${all[@]}"
expect_silence 'no functions without bounds' \
	find_call "$copy" "${programs[@]}"
expect_silence 'no shell' find_call 'system|popen|vfork' "${programs[@]}"
expect_silence 'the library does not end the process' \
	find_call 'exit|_exit|abort|assert|err|errx|raise|kill' "${library[@]}"
expect_silence 'the library does not print' \
	find_call 'printf|fprintf|vprintf|vfprintf|puts|putchar|perror|syslog' \
	"${library[@]}"
expect_silence 'the library does not sleep, fork or touch signals' \
	find_call 'sleep|usleep|nanosleep|fork|signal|sigaction|setlocale|chdir|umask' \
	"${library[@]}"
expect_silence 'every C file has its licence' unlicensed "${code[@]}"
expect_silence 'no blanks at line ends' endings "${code[@]}"
finish
