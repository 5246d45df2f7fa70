#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the libraries export, what their maps say and what the public headers
# declare is the same.
. "$(dirname "$0")/../tap.sh"

# "symbol node" of a map.
mapped() {
	sed 's/#.*//; s,/\*[^*]*\*/,,g' "$1" | awk '
	/{/ { node = $1 }
	/global:/ { global = 1; next }
	/local:/ { global = 0; next }
	/}/ { global = 0 }
	global { gsub(/[;[:space:]]/, ""); if ($0 != "") print $0, node }' |
		sort
}

# "symbol node" of a library.
exported() {
	nm -D --defined-only --with-symbol-versions "$1" |
		awk '$2 != "A" { sub(/@@?/, " ", $3); print $3 }' | sort
}

declared() {
	cat include/uidrecv/*.h | awk '
	/^#/ { next }
	/UIDRECV_API/ { text = ""; open = 1 }
	open { text = text " " $0 }
	open && /\(/ {
		match(text, /uidrecv_[a-z0-9_]+ *\(/)
		text = substr(text, RSTART, RLENGTH)
		sub(/ *\(/, "", text)
		print text
		open = 0
	}' | sort
}

# Lines are in both or in neither.
same() {
	diff <(echo "$2") <(echo "$4") |
		sed -n "s|^< |only in $1: |p; s|^> |only in $3: |p"
}

names() {
	echo "$1" | cut -d ' ' -f 1 | grep "^$2" | sort -u
}

misplaced() {
	echo "$1" | awk '
	/^ur_/ && $2 == "UIDLOOKUP_PRIVATE" { next }
	/^uidrecv_/ && $2 !~ /PRIVATE/ { next }
	{ print $1 " does not belong into node " $2 }'
}

all=
twice=
for map in lib/*.map; do
	noun=$(basename "$map" .map)
	library=$BUILD_ROOT/lib/lib$noun.so
	in_map=$(mapped "$map")
	in_library=$(exported "$library" 2>&1)
	expect_silence "lib$noun exports what its map lists" \
		same "$map" "$in_map" "lib$noun" "$in_library"
	expect_silence "lib$noun: every name in its node" misplaced "$in_library"
	all+=${all:+$'\n'}$in_map
	twice+=${twice:+$'\n'}$(names "$in_library" '')
done
expect_silence 'what is declared is exported, and nothing else' \
	same 'the headers' "$(declared)" 'the maps' "$(names "$all" uidrecv_)"
expect_silence 'no symbol is in both libraries' \
	uniq -d <(echo "$twice" | sort)
finish
