#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Each check of this suite sees what it is for: a violation is planted into a
# copy of the tree.
. "$(dirname "$0")/../tap.sh"
plant_copy

sees() {
	local script=tests/style/$1.sh
	shift
	expect_complaint "$1" "$2" "$script" "${@:3}"
}

long_function() {
	{
		printf 'static void far_too_long(void)\n{\n'
		seq -f '	work(%g);' 90
		printf '}\n'
	} >>"$1"
}

long_file() {
	seq -f '/* %g */' 451 >"$1"
}

sees layers 'an upward include' 'frame (rank 2) includes store.h' \
	append lib/frame.c '#include "store.h"'
sees layers 'an include of the same rank' 'session (rank 4) includes store.h' \
	append lib/session.c '#include "store.h"'
sees layers 'the store in a connection' 'conn must not include store.h' \
	append lib/conn.c '#include "store.h"'
sees layers 'a private header' 'store-private.h is private to store' \
	append lib/round.c '#include "store-private.h"'
sees layers 'the writer in the reader' 'utf8.h is not of libuidlookup' \
	append lib/reader.c '#include "utf8.h"'
sees layers 'OpenSSL outside of tls' 'must not include <openssl/ssl.h>' \
	append lib/session.c '#include <openssl/ssl.h>'
sees layers 'LMDB outside of the store' 'must not include <lmdb.h>' \
	append lib/table.c '#  include <lmdb.h>'
sees layers 'epoll outside of the loop' 'must not include <sys/epoll.h>' \
	append lib/conn.c '#include <sys/epoll.h>'
sees layers 'a clock read elsewhere' 'must not call clock_gettime()' \
	append lib/store.c '	if (clock_gettime(1, &now) < 0)'
sees layers 'a socket read elsewhere' 'must not call recv()' \
	append lib/tls.c 'x = recv(fd, data, size, 0);'
sees layers 'a file without a rank' 'zebra.c has no rank' \
	append lib/zebra.c 'int zebra;'
sees layers 'a header without a rank' 'zebra.h has no rank' \
	append lib/conn.c '#include "zebra.h"'

if command -v clang-format >/dev/null; then
	sees format 'a line that is not formatted' 'clang-format -i lib/buf.c' \
		append lib/buf.c 'int   x;'
fi

sees sizes 'a long function' 'lib/buf.c:far_too_long: 92 lines' \
	long_function lib/buf.c
sees sizes 'a long file' 'lib/zebra.c: 451 lines' long_file lib/zebra.c
sees sizes 'an exception without a reason' 'lib/gone.c has no reason' \
	append tests/style/sizes.txt 'lib/gone.c 500'
sees sizes 'an exception for nothing' 'there is no lib/gone.c' \
	append tests/style/sizes.txt 'lib/gone.c 500 it is a table'

sees words 'work that is left' 'lib/buf.c' \
	append lib/buf.c '/* TODO: free */'
sees words 'a path of one machine' 'lib/buf.c' \
	append lib/buf.c '/* see /home/someone/notes */'
sees words 'strcpy' 'strcpy(' append lib/buf.c '	strcpy(to, from);'
sees words 'sprintf' 'sprintf(' append lib/buf.c '	n = sprintf(to, "x");'
sees words 'system' 'system(' append examples/cli.c '	system("ls");'
sees words 'abort in the library' 'abort(' append lib/buf.c '	abort();'
sees words 'assert in the library' 'assert(' append lib/buf.c '	assert(0);'
sees words 'printf in the library' 'fprintf(' \
	append lib/buf.c '	fprintf(stderr, "x");'
sees words 'signal in the library' 'signal(' \
	append lib/buf.c '	signal(SIGPIPE, SIG_IGN);'
sees words 'a file without a licence' 'lib/zebra.c has no SPDX' \
	append lib/zebra.c 'int zebra;'
sees words 'blanks at the end' 'lib/buf.c' append lib/buf.c 'int x; '

sees catalogue 'a test without its row' 'the row of S99 lacks unit/test-buf.c' \
	append tests/unit/test-buf.c 'Test(buf, S99_planted)'
# shellcheck disable=SC2016 # backquotes of the page
{
	sees catalogue 'a row without its test' 'no test in unit/test-buf.c has S99' \
		append doc/reliability.md '| S99 | planted | `unit/test-buf.c` |'
	sees catalogue 'a fault with two rows' 'a second row of S01' \
		append doc/reliability.md '| S01 | planted | `integration/test_crash.py` |'
	sees catalogue 'a test that is none' 'there is no test no_such_test' \
		append doc/reliability.md 'Held by `no_such_test`.'
}

sees readme 'another listing' 'the listing is not examples/lookup.c' \
	append examples/lookup.c '/* more */'
sees readme 'a link to nothing' 'SECURITY.md: there is no doc/gone.md' \
	append SECURITY.md 'See [here](doc/gone.md#place).'

sees python 'a syntax error' 'tests/pytests.py' \
	append tests/pytests.py 'def (:'
sees shell 'a script that does not parse' 'tests/run' \
	append tests/run 'if true; then'
if command -v shellcheck >/dev/null; then
	# shellcheck disable=SC2016 # not to be expanded
	sees shell 'a word that splits' 'SC2086' append tests/run 'rm $1'
fi
finish
