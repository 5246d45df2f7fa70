#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tests/run --bench: installs what the benchmarks need, builds them into
# build-bench/ as they are when released, and hands over to run.py.
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

[ -f "$build/build.ninja" ] ||
	quietly meson setup --buildtype=release -Dbench=true "$build" "$root"
quietly ninja -C "$build" "${programs[@]/#/tests/bench/}" examples/uidrecvd \
	examples/uidagent

# Debian's package redis-server would start a service. Its program is this one,
# which looks at the name by which it is called.
if ! command -v redis-server >/dev/null; then
	mkdir -p "$build/redis"
	ln -sf "$(command -v redis-check-rdb)" "$build/redis/redis-server"
	PATH=$PATH:$build/redis
fi
exec python3 "$here/run.py" --svg "$build/lookup.svg" "$@"
