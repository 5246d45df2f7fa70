#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Whoever installs the project can compile against it with pkg-config alone.
. "$(dirname "$0")/../tap.sh"

top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT

run_quietly() {
	"$@" >"$top/log" 2>&1 || { cat "$top/log" && return 1; }
}

install_into_top() {
	DESTDIR=$top/root run_quietly \
		meson install -C "$BUILD_ROOT" --no-rebuild --quiet
}

files_are_there() {
	local header name
	for header in include/uidrecv/*.h; do
		[ "$(find "$top/root" -path "*/$header")" ] ||
			echo "$header is not installed"
	done
	for name in libuidlookup.so libuidlookup.so.0 libuidrecv.so \
		libuidrecv.so.0 libuidlookup.pc libuidrecv.pc; do
		[ "$(find "$top/root" -name "$name")" ] ||
			echo "$name is not installed"
	done
}

agent_runs() {
	run_quietly "$(find "$top/root" -name agent.py)" --help
}

# What is compiled sees nothing of the source tree.
compile() {
	local package=$1 source=$2 program=$3
	local -a flags
	read -r -a flags <<<"$(pkg-config --cflags --libs "$package")"
	cp "$source" "$top/$program.c"
	(cd "$top" && "${CC:-cc}" -std=c11 -Wall -Wextra -Werror -pedantic \
		"$program.c" -o "$program" "${flags[@]}")
}

lookup_says_what_is_wrong() {
	local output rc=0
	output=$("$top/lookup" "$top/no-table" 10.1.2.3 2>&1) || rc=$?
	[ "$rc" -gt 0 ] && [ "$rc" -lt 126 ] || echo "status $rc"
	case $output in
	*no-table*'No such file'*) ;;
	*) echo "unclear: $output" ;;
	esac
}

versions_agree() {
	local version package
	version=$(sed -n "s/.* version: '\([^']*\)', license.*/\1/p" meson.build)
	for package in libuidlookup libuidrecv; do
		[ "$(pkg-config --modversion "$package")" = "$version" ] ||
			echo "$package.pc is not of version $version"
	done
	"$top/version" || echo "the headers are not of version $version"
}

expect_silence 'meson installs' install_into_top
expect_silence 'headers, libraries and pkg-config files are installed' \
	files_are_there
expect_silence 'the agent in Python runs' agent_runs
pc=$(find "$top/root" -name libuidlookup.pc)
libdir=$(dirname "$(dirname "${pc:-/none/none}")")
export PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$top/root
export LD_LIBRARY_PATH=$libdir
expect_silence 'lookup.c compiles with libuidlookup' \
	compile libuidlookup examples/lookup.c lookup
expect_silence 'lookup says that there is no table' lookup_says_what_is_wrong
cat >"$top/main.c" <<'END'
#include <uidrecv/uidrecv.h>
int main(void)
{
	uidrecv_receiver_free(0);
	return uidrecv_version() != (UIDRECV_VERSION_MAJOR << 16 |
				     UIDRECV_VERSION_MINOR << 8 |
				     UIDRECV_VERSION_PATCH);
}
END
expect_silence 'a program compiles with libuidrecv' \
	compile libuidrecv "$top/main.c" version
expect_silence 'versions agree' versions_agree
finish
