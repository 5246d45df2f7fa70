#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs the fuzzers of a build for a short while. Prints TAP: a case for each.
set -eu -o pipefail

usage() {
	cat <<'END'
Usage: fuzz/smoke.sh [--runs N | --seconds N] [--keep FOLDER] BUILD [NAME...]

Fuzzes each harness, or those named, of BUILD, which was made by
  CC=clang meson setup BUILD -Dfuzzer=true -Db_lundef=false \
    -Db_sanitize=address,undefined
for N runs or seconds (20 seconds). New inputs go to a scratch folder, or to
FOLDER/NAME; inputs that crash stay there.
END
}

amount=-max_total_time=20
keep=
while [ $# -gt 0 ]; do
	case $1 in
	--runs) amount=-runs=$2 && shift ;;
	--seconds) amount=-max_total_time=$2 && shift ;;
	--keep) keep=$2 && shift ;;
	--help) usage && exit 0 ;;
	-*) usage >&2 && exit 2 ;;
	*) break ;;
	esac
	shift
done
[ $# -ge 1 ] || { usage >&2 && exit 2; }

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$1/fuzz
shift
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
	for file in "$source_dir"/fuzz-*.c; do
		name=$(basename "$file" .c)
		names+=("${name#fuzz-}")
	done
fi

export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=1}
export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1

scratch=$(mktemp -d "${TMPDIR:-/tmp}/uidrecv-fuzz.XXXXXX")
bad=0
count=0

# libFuzzer writes into the first folder that it is given.
smoke() {
	local name=$1 new=${keep:-$scratch}/$1 log=$scratch/$1.log rc=0 runs
	local -a options=(-timeout=10 -rss_limit_mb=2048 "$amount"
		-print_final_stats=1 "-artifact_prefix=$new.")
	mkdir -p "$new"
	if [ -e "$source_dir/dict/$name.dict" ]; then
		options+=("-dict=$source_dir/dict/$name.dict")
	fi
	set -- "$new"
	if [ -d "$source_dir/corpus/$name" ]; then
		set -- "$new" "$source_dir/corpus/$name"
	fi
	"$build/fuzz-$name" "${options[@]}" "$@" >"$log" 2>&1 </dev/null || rc=$?
	count=$((count + 1))
	if [ "$rc" -eq 0 ]; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		echo "ok $count - fuzz-$name: $runs runs"
		return
	fi
	bad=$((bad + 1))
	cat "$log"
	echo "not ok $count - fuzz-$name ended with status $rc"
	find "${keep:-$scratch}" -maxdepth 1 -type f -name "$name.*-*" \
		-printf '# the input is kept in %p\n'
}

for name in "${names[@]}"; do
	smoke "$name"
done
echo "1..$count"
if [ "$bad" -eq 0 ]; then
	rm -rf "$scratch"
fi
[ "$bad" -eq 0 ] && [ "$count" -gt 0 ]
