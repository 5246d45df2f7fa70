#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/run --bench: installs what the benchmarks need, builds them into
# build-bench/ as they are when released, and hands over to run.py. With
# UIDRECV_TEST_WERROR a warning of the compiler fails.
set -eu -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tests/bench
build=$root/build-bench
export PYTHONDONTWRITEBYTECODE=1

# Whoever only asks, or asks wrongly, waits for nothing.
"$root/.ci/deps" python3
case " $* " in
*' --help '*) exec python3 "$here/run.py" --help ;;
esac
names=$(python3 "$here/run.py" --list "$@")
mapfile -t programs <<<"$names"

"$root/.ci/deps" build-essential pkg-config meson ninja-build openssl \
	libssl-dev liblmdb-dev libc-ares-dev libcriterion-dev libsqlite3-dev \
	libmaxminddb-dev libhiredis-dev redis-tools

quietly() {
	local output
	output=$("$@" 2>&1 </dev/null) && return
	printf '%s\n' "$output" "tests/run: $1 failed" >&2
	exit 1
}

setup=(--buildtype=release -Dbench=true)
if [ "${UIDRECV_TEST_WERROR:-}" ]; then
	setup+=(--werror)
fi
stamp="${CC:-cc} ${CFLAGS:-} ${setup[*]}"
if [ "$(cat "$build/.configured" 2>/dev/null)" != "$stamp" ]; then
	rm -rf "$build"
	quietly meson setup "${setup[@]}" "$build" "$root"
	echo "$stamp" >"$build/.configured"
fi
quietly ninja --quiet -C "$build" "${programs[@]/#/tests/bench/}"

case " $* " in
*' --build '*) exit 0 ;;
esac

# Debian's package redis-server would start a service. Its program is this one,
# which looks at the name by which it is called.
if ! command -v redis-server >/dev/null; then
	mkdir -p "$build/redis"
	ln -sf "$(command -v redis-check-rdb)" "$build/redis/redis-server"
	PATH=$PATH:$build/redis
fi
exec python3 "$here/run.py" --svg "$build/lookup.svg" "$@"
