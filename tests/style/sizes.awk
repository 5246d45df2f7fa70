# SPDX-License-Identifier: BSD-2-Clause
#
# awk -f sizes.awk sizes.txt FILE...: files of more than 450 lines, functions
# of more than 80, unless sizes.txt allows them.

function limit(name, usual)
{
	used[name] = 1
	return name in allowed ? allowed[name] : usual
}

function end_file()
{
	if (lines > limit(file, 450))
		print file ": " lines " lines"
}

FNR == NR {
	if ($1 != "" && $1 !~ /^#/) {
		allowed[$1] = $2 + 0
		if (NF < 3)
			print FILENAME ": " $1 " has no reason"
	}
	next
}

FNR == 1 {
	if (file != "")
		end_file()
	file = FILENAME
}

{ lines = FNR }

# clang-format puts the braces of a function, and no others, alone here.
/^[A-Za-z_].*\(/ { head = $0 }
/^{/ { start = FNR }
/^}/ && start {
	match(head, /[A-Za-z_0-9]+\(/)
	name = FILENAME ":" substr(head, RSTART, RLENGTH - 1)
	if (FNR - start + 1 > limit(name, 80))
		print name ": " FNR - start + 1 " lines"
	start = 0
}

END {
	if (file != "")
		end_file()
	for (name in allowed)
		if (!(name in used))
			print "sizes.txt: there is no " name
}
