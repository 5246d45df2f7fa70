#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the pages show is what there is: README.md's listing in C is
# examples/lookup.c, and links lead to files.
. "$(dirname "$0")/../tap.sh"

# The lines between ```c and ```.
listing() {
	awk '/^```/ { inside = ($0 == "```c"); next } inside' README.md
}

listing_differs() {
	diff -u examples/lookup.c <(listing) ||
		echo 'README.md: the listing is not examples/lookup.c'
}

# [text](path) and [text](path#place), but no addresses and no places alone.
dead_links() {
	local page link
	for page; do
		grep -oE '\]\([^)#:]+[)#]' "$page" | sed 's/^](//; s/.$//' |
			while read -r link; do
				[ -e "$(dirname "$page")/$link" ] ||
					echo "$page: there is no $link"
			done
	done
	return 0
}

mapfile -t pages < <(source_files '*.md' '*/*.md' | sort -u)
expect_silence 'the listing in README.md is examples/lookup.c' listing_differs
expect_silence "links in ${#pages[@]} pages lead to files" \
	dead_links "${pages[@]}"
finish
