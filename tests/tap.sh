# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# For the scripts of the suites abi and style, which read this file: cases in
# TAP, and the lists of files to check. SOURCE_ROOT may be another tree.
set -u -o pipefail
export LC_ALL=C

SOURCE_ROOT=${SOURCE_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
BUILD_ROOT=${BUILD_ROOT:-$SOURCE_ROOT/build-tests}
cd "$SOURCE_ROOT" || exit 1

tap_count=0
tap_failed=0

# expect_silence NAME COMMAND...: whatever is printed is a complaint.
expect_silence() {
	local name=$1 output rc=0
	shift
	output=$("$@" 2>&1) || rc=$?
	tap_count=$((tap_count + 1))
	if [ -z "$output" ] && [ "$rc" -eq 0 ]; then
		echo "ok $tap_count - $name"
		return
	fi
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_count - $name"
	printf '%s\n' "${output:-status $rc}" | sed 's/^/# /'
}

skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1 # SKIP $2"
}

finish() {
	echo "1..$tap_count"
	[ "$tap_failed" -eq 0 ]
	exit
}

# source_files PATTERN...: the files of the project, as git names patterns;
# in a tree without git, all but what is built.
source_files() {
	local pattern
	local -a arguments=()
	if [ -e .git ]; then
		git ls-files --cached --others --exclude-standard -- "$@" |
			while read -r pattern; do
				[ ! -f "$pattern" ] || echo "$pattern"
			done
		return
	fi
	for pattern; do
		arguments+=(${arguments[0]+-o} -path "./$pattern")
	done
	find . \( -name 'build*' -o -name __pycache__ \) -prune -o \
		-type f \( "${arguments[@]}" \) -print | sed 's,^\./,,' | sort
}

# For the tests of the tests. plant_copy makes a copy of the tree, $copy.
# expect_complaint NAME TEXT SCRIPT COMMAND...: after COMMAND in the copy,
# SCRIPT fails there and says TEXT. The copy is as before afterwards.
plant_copy() {
	copy=$(mktemp -d)
	trap 'rm -rf "$copy" "$copy.save"' EXIT
	source_files '*' '*/*' | sort -u | tar -cf - -T - | tar -xf - -C "$copy"
	cp -a "$copy" "$copy.save"
}

complains() {
	local text=$1 script=$2 output rc=0
	shift 2
	(cd "$copy" && "$@") || echo "cannot plant: $*"
	output=$(SOURCE_ROOT=$copy "$copy/$script" 2>&1) || rc=$?
	[ "$rc" -ne 0 ] || echo "$script passes"
	case $output in
	*"$text"*) ;;
	*) printf '%s\n' "$script does not say: $text" "$output" ;;
	esac
	rm -rf "$copy"
	cp -a "$copy.save" "$copy"
}

expect_complaint() {
	local name=$1
	shift
	expect_silence "seen: $name" complains "$@"
}

# append FILE LINE...
append() {
	local file=$1
	shift
	printf '%s\n' "$@" >>"$file"
}
