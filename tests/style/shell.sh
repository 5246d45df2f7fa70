#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Scripts are without mistakes that shellcheck or the shell can see.
. "$(dirname "$0")/../tap.sh"

mapfile -t files < <(source_files '*' '*/*' | sort -u |
	while read -r file; do
		if IFS= read -r line 2>/dev/null <"$file"; then
			case $line in
			'#!'*[/\ ]sh | '#!'*[/\ ]bash) echo "$file" ;;
			'#!'*[/\ ]'sh '* | '#!'*[/\ ]'bash '*) echo "$file" ;;
			esac
		fi
	done 2>/dev/null)

parse() {
	local file
	for file; do
		bash -n "$file"
		[ -x "$file" ] || echo "$file is not executable"
	done
}

expect_silence "${#files[@]} scripts parse" parse "${files[@]}"
if command -v shellcheck >/dev/null; then
	expect_silence "${#files[@]} scripts pass shellcheck" \
		shellcheck -e SC1091 -f gcc "${files[@]}" tests/tap.sh
else
	skip 'shellcheck' 'shellcheck is not installed'
fi
finish
