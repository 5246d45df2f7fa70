#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# All C is as clang-format writes it.
. "$(dirname "$0")/../tap.sh"

if ! command -v clang-format >/dev/null; then
	skip 'format' 'clang-format is not installed'
	finish
fi
misformatted() {
	printf '%s\0' "$@" |
		xargs -0 -n 8 -P "$(nproc)" clang-format --dry-run -Werror 2>&1 |
		sed -n 's/^\([^ :]*\):.*error:.*/clang-format -i \1/p' | sort -u
}
mapfile -t files < <(source_files '*.c' '*.h')
expect_silence "${#files[@]} C files are formatted" misformatted "${files[@]}"
finish
