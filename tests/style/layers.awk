# SPDX-License-Identifier: BSD-2-Clause
#
# awk -f layers.awk layers.txt lib/*.c lib/*.h: what breaks the rules. The
# rules are explained in layers.txt.

function noun_of(name,    best, noun)
{
	sub(/.*\//, "", name)
	sub(/\.[ch]$/, "", name)
	best = ""
	for (noun in rank)
		if ((name == noun || index(name, noun "-") == 1) &&
		    length(noun) > length(best))
			best = noun
	return name in part ? part[name] : best
}

function complain(text)
{
	print FILENAME ":" FNR ": " text
	failed = 1
}

function check_own_header(header,    other)
{
	other = noun_of(header)
	if (other == "")
		complain(header " has no rank in layers.txt")
	else if (other != noun) {
		if (rank[other] >= rank[noun])
			complain(noun " (rank " rank[noun] ") includes " header \
				 " (rank " rank[other] ")")
		else if (header ~ /-private\.h$/)
			complain(header " is private to " other)
		if (other in only && !((other, noun) in allowed))
			complain(noun " must not include " header)
		if (noun in lookup && !(other in lookup))
			complain(header " is not of libuidlookup")
	}
}

# Strings are not code; what may hide a call is not in a comment's line.
function code_of(line)
{
	if (line ~ /^ \*|^[ \t]*\/\*|^[ \t]+\*/)
		return ""
	gsub(/"[^"]*"/, "\"\"", line)
	gsub(/\/\*.*\*\//, "", line)
	return line
}

FNR == NR {
	sub(/#.*/, "")
	if ($1 == "rank")
		for (i = 3; i <= NF; i++)
			rank[$i] = $2
	else if ($1 == "part")
		part[$2] = $4
	else if ($1 == "lookup")
		for (i = 2; i <= NF; i++)
			lookup[$i] = 1
	else if ($1 == "only" || $1 == "header" || $1 == "call") {
		for (in_at = 2; $in_at != "in"; in_at++)
			;
		for (i = 2; i < in_at; i++) {
			if ($1 == "only")
				only[$i] = 1
			else if ($1 == "header")
				headers[$i] = 1
			else
				calls[$i] = 1
			for (j = in_at + 1; j <= NF; j++)
				allowed[$i, $j] = 1
		}
	}
	next
}

FNR == 1 {
	noun = noun_of(FILENAME)
	if (noun == "")
		complain(FILENAME " has no rank in layers.txt")
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, part_of_line, "\"")
	check_own_header(part_of_line[2])
	next
}

/^[ \t]*#[ \t]*include[ \t]*</ {
	split($0, part_of_line, /[<>]/)
	for (header in headers)
		if (index(part_of_line[2], header) == 1 &&
		    !((header, noun) in allowed))
			complain(noun " must not include <" part_of_line[2] ">")
	next
}

{
	code = code_of($0)
	while (match(code, /[A-Za-z_][A-Za-z_0-9]*\(/)) {
		name = substr(code, RSTART, RLENGTH - 1)
		before = RSTART > 1 ? substr(code, RSTART - 1, 1) : ""
		if (name in calls && !((name, noun) in allowed) &&
		    before != "." && before != ">")
			complain(noun " must not call " name "()")
		code = substr(code, RSTART + RLENGTH)
	}
}

END { exit failed }
