#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Files aim at 400 lines and functions at 60; above 450 and 80 they fail.
. "$(dirname "$0")/../tap.sh"

mapfile -t files < <(source_files 'lib/*.[ch]' 'examples/*.[ch]')
expect_silence "files and functions of ${#files[@]} files are short" \
	awk -f tests/style/sizes.awk tests/style/sizes.txt "${files[@]}"
finish
