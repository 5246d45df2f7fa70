#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A packet filter that links libuidlookup gets libc and nothing else.
. "$(dirname "$0")/../tap.sh"

# differs LIBRARY TAG NAME...: the entries of the dynamic section.
differs() {
	local library=$BUILD_ROOT/lib/$1 tag=$2 have want
	shift 2
	have=$(readelf -dW "$library" |
		sed -n "s/.*($tag).*\[\(.*\)\]/\1/p" | sort)
	want=$(printf '%s\n' "$@" | sort)
	diff <(echo "$want") <(echo "$have") |
		sed -n "s/^< /lacks $tag /p; s/^> /has $tag /p"
}

insecure() {
	local library=$BUILD_ROOT/lib/$1
	readelf -lW "$library" | grep 'GNU_STACK.*RWE'
	readelf -dW "$library" | grep -E 'TEXTREL|NOOPEN|RPATH'
	readelf -lW "$library" | grep GNU_RELRO >/dev/null || echo 'no RELRO'
}

expect_silence 'libuidlookup needs libc alone' \
	differs libuidlookup.so NEEDED libc.so.6
expect_silence 'libuidrecv needs libuidlookup, OpenSSL, LMDB, c-ares and libc' \
	differs libuidrecv.so NEEDED libuidlookup.so.0 libssl.so.3 \
	libcrypto.so.3 liblmdb.so.0 libcares.so.2 libc.so.6
for noun in uidlookup uidrecv; do
	expect_silence "lib$noun has its soname" \
		differs "lib$noun.so" SONAME "lib$noun.so.0"
	expect_silence "lib$noun: stack, relocations, dlopen" \
		insecure "lib$noun.so"
done
finish
