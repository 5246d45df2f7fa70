#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Each check of this suite sees what it is for: a violation is planted into a
# copy of the tree, or a library with a flaw into a copy of the build.
. "$(dirname "$0")/../tap.sh"
plant_copy # makes $copy
real_build=$BUILD_ROOT
# shellcheck disable=SC2154
fake_build=$copy.build
trap 'rm -rf "$copy" "$copy.save" "$fake_build"' EXIT

sees() {
	local script=tests/abi/$1.sh
	shift
	expect_complaint "$1" "$2" "$script" "${@:3}"
}

map_without() {
	sed -i "/$2;/d" "$1"
}

# fake NOUN FLAG...: a library in place of the real one.
fake() {
	local noun=$1
	shift
	rm -rf "$fake_build"
	mkdir -p "$fake_build/lib"
	cp -L "$real_build"/lib/libuid*.so "$fake_build/lib/"
	echo 'int ur_stray(void); int ur_stray(void) { return 0; }' |
		"${CC:-cc}" -shared -fPIC -x c - -o "$fake_build/lib/lib$noun.so" \
			-Wl,-soname,"lib$noun.so.0" "$@"
}

export BUILD_ROOT
sees tested 'a function without a test' 'no test of uidrecv_extra()' \
	append include/uidrecv/types.h 'UIDRECV_API int uidrecv_extra(void);'
sees docs 'a function without a comment' 'uidrecv_extra has no comment' \
	append include/uidrecv/types.h '' 'UIDRECV_API int uidrecv_extra(void);'
sees docs 'a comment without @since' 'uidrecv_extra has no @since' \
	append include/uidrecv/types.h '/** Does. @return 0 */' \
	'UIDRECV_API int uidrecv_extra(void);'
sees docs 'a comment without @return' 'uidrecv_extra has no @return' \
	append include/uidrecv/types.h '/** Does. @since 0.1 */' \
	'UIDRECV_API int uidrecv_extra(void);'
sees headers 'a header that lacks an include' 'time_t' \
	append include/uidrecv/rights.h 'time_t uidrecv_when(void);'
sees headers 'a header that is no C++' 'rights.h is C++11' \
	append include/uidrecv/rights.h 'int uidrecv_do(int class);'
sees symbols 'a function that is not in a map' \
	'only in the headers: uidrecv_extra' append include/uidrecv/types.h \
	'UIDRECV_API int uidrecv_extra(void);'
sees symbols 'a map with a name too few' \
	'only in libuidlookup: uidrecv_version' \
	map_without lib/uidlookup.map uidrecv_version
sees symbols 'a map with a name too many' \
	'only in lib/uidrecv.map: uidrecv_extra' sed -i \
	's/global:/global:\n	uidrecv_extra;/' lib/uidrecv.map
sees install 'a header that is not installed' \
	'include/uidrecv/extra.h is not installed' \
	append include/uidrecv/extra.h '/* */'
sees install 'an example that needs the source tree' 'slot.h' \
	sed -i '1i #include "slot.h"' examples/lookup.c

BUILD_ROOT=$fake_build
sees symbols 'a stray symbol' 'only in libuidlookup: ur_stray' \
	fake uidlookup
sees needed 'a library too many' 'has NEEDED libm.so.6' \
	fake uidlookup -Wl,--no-as-needed -lm
sees needed 'a library too few' 'lacks NEEDED libssl.so.3' fake uidrecv
sees needed 'another soname' 'has SONAME libuidrecv.so.1' \
	fake uidrecv -Wl,-soname,libuidrecv.so.1
sees needed 'a stack that can be executed' 'GNU_STACK' \
	fake uidlookup -Wl,-z,execstack
sees needed 'a library that cannot be a plugin' 'NOOPEN' \
	fake uidlookup -Wl,-z,nodlopen
finish
