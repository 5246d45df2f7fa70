#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every Python file compiles.
. "$(dirname "$0")/../tap.sh"

compile_python() {
	python3 -c '
import sys
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        try:
            compile(file.read(), path, "exec", dont_inherit=True)
        except (SyntaxError, UnicodeDecodeError) as error:
            print("%s: %s" % (path, error))
' "$@"
}

mapfile -t files < <(source_files '*.py')
expect_silence "${#files[@]} Python files compile" compile_python "${files[@]}"
finish
