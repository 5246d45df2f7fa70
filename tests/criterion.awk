# SPDX-License-Identifier: BSD-2-Clause
#
# Prints honest TAP for one run of a Criterion program.
#
#   awk -v tap=FILE -v err=FILE -v name=NAME -v rc=STATUS -f criterion.awk
#
# tap is what --tap=FILE wrote (it is missing when the program was killed), err
# is its standard error with --verbose. Criterion 2.4.1 says "ok" of a case
# that leaks (its process is aborted after the case) and of a case whose .fini
# fails; only standard error tells.

function report(ok, text)
{
	printf "%s %d - %s\n", ok ? "ok" : "not ok", ++count, text
	failed += !ok
}

function read_errors(    line, part)
{
	while ((getline line < err) > 0) {
		if (line ~ /Warning! The test `[^`]*` crashed during its/) {
			split(line, part, "`")
			crashed[part[2]] = 1
		} else if (line ~ /^\[----\] .*: Assertion Failed$/) {
			sub(/^\[----\] /, "", line)
			sub(/: Assertion Failed$/, "", line)
			asserted[line] = 1
		} else if (line ~ /^\[RUN \] /) {
			order[++started] = substr(line, 8)
		} else if (match(line, /\[(PASS|FAIL|SKIP)\] /)) {
			split(substr(line, RSTART + 7), part, ": ")
			ended[part[1]] = substr(line, RSTART + 1, 4)
		}
	}
}

function read_tap(    line, part, text)
{
	while ((getline line < tap) > 0) {
		if (line ~ /^1\.\.[0-9]+/) {
			planned = substr(line, 4) + 0
		} else if (line ~ /^ok - /) {
			text = substr(line, 6)
			split(text, part, " ")
			if (part[1] in crashed)
				report(0, part[1] " was aborted at its end: " \
				       "a leak, or a failing .fini")
			else
				report(1, text)
		} else if (line ~ /^not ok - /) {
			report(0, substr(line, 10))
		} else if (line ~ /^ +- [^ ]+:[0-9]+: /) {
			print line
			sub(/^ +- /, "", line)
			sub(/: .*/, "", line)
			listed[line] = 1
		} else if (line ~ /^ /) {
			print line
		}
	}
}

# The program did not get as far as writing its TAP.
function read_events(    i, test)
{
	for (i = 1; i <= started; i++) {
		test = order[i]
		if (!(test in ended))
			report(0, test " did not end: status " rc)
		else
			report(ended[test] != "FAIL", test)
	}
	for (test in ended)
		if (ended[test] == "SKIP")
			report(1, test " # SKIP")
	if (!failed)
		report(0, name " ended early, with status " rc)
}

BEGIN {
	planned = -1
	read_errors()
	read_tap()
	if (planned < 0) {
		read_events()
	} else if (planned != count) {
		report(0, name " planned " planned " cases")
	}
	for (place in asserted)
		if (!failed && !(place in listed))
			report(0, name " has a failing assertion outside of " \
			       "a case at " place)
	if (!failed && rc != 0)
		report(0, name " ended with status " rc)
	if (!count)
		report(0, name " has no cases")
	print "1.." count
}
