#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every public function has a comment directly above it, with @return (unless
# it returns nothing) and @since.
. "$(dirname "$0")/../tap.sh"

undocumented() {
	awk '
	function judge(    name)
	{
		match(text, /uidrecv_[a-z0-9_]+ *\(/)
		name = substr(text, RSTART, RLENGTH - 1)
		if (above != FNR_start - 1)
			print FILENAME ": " name " has no comment above it"
		else if (comment !~ /@since [0-9]/)
			print FILENAME ": " name " has no @since"
		else if (text !~ /(API|MUST_CHECK) void uidrecv/ &&
			 comment !~ /@return /)
			print FILENAME ": " name " has no @return"
	}
	/^\/\*\*/ { comment = ""; inside = 1 }
	inside { comment = comment "\n" $0 }
	inside && /\*\// { inside = 0; above = FNR; next }
	/^UIDRECV_API/ { text = ""; open = 1; FNR_start = FNR }
	open { text = text " " $0 }
	open && /\(/ { judge(); open = 0 }
	' "$1"
}

for header in include/uidrecv/*.h; do
	expect_silence "$(basename "$header") is documented" \
		undocumented "$header"
done
finish
