#!/usr/bin/gawk -f
# SPDX-License-Identifier: GPL-2.0
#
# session.awk - execute the terminal session that a document shows, and compare what it says.
#
# usage: gawk -v name=NAME -v heading=HEADING -f session.awk DOCUMENT
#
# The fenced blocks below HEADING ("## A heading") whose first line is a command are one session, in the current
# folder. After "$ " stands a command of the shell (a line that ends in a backslash goes on in the next one), after
# "(gdb) " one of the gdb that the shell's last command has started. The other lines are what the command above them
# says. A document shows what matters, so:
#
#   - the lines shown are among those that the command prints, in this order;
#   - `...` in a line is any text, or none;
#   - a number of five digits and more, decimal or hexadecimal, may be another one in reality, but where the document
#     shows the same number again, also in a command, it is that other one; 0x and zeros in front do not matter;
#   - a number with a decimal point is any such;
#   - spaces are as many as there are.
#
# Prints result lines (see tests/lib.sh), one for each command: NAME/1, NAME/2 and so on. The first that fails ends
# the session, with status 1. What was really said goes to NAME.session, with the seconds that each command took.

# ---- the document ----

BEGIN {
	# One shell reads all commands from a pipe, and gdb, while it runs, from the same.
	shell = "exec bash 2>&1"
	PROCINFO[shell, "READ_TIMEOUT"] = 600000 # ms
	number_of_commands = 0
}

/^#+ / {
	inside = $0 == heading
}

/^```/ {
	fenced = !fenced
	first = fenced
	next
}

first {
	is_session = /^(\$|\(gdb\)) /
	first = 0
}

inside && fenced && is_session {
	if (continues) {
		command[number_of_commands] = command[number_of_commands] "\n" $0
	} else if (match($0, /^(\$|\(gdb\)) /)) {
		command[++number_of_commands] = substr($0, RLENGTH + 1)
		is_gdb[number_of_commands] = /^\(/
		line_number[number_of_commands] = FNR
	} else {
		expected[number_of_commands, ++number_expected[number_of_commands]] = $0
	}
	continues = /\\$/
}

END {
	if (!number_of_commands)
		fail(0, "there is no session below " heading)
	for (i = 1; i <= number_of_commands && !failed; i++) {
		number_of_replies = execute(i)
		if (!failed && compare(i))
			print "ok " name "/" i
		fflush()
	}
	close(shell)
	exit failed
}

function fail(i, why)
{
	printf "not ok %s/%d: %s:%d: %s\n", name, i, FILENAME, line_number[i], why
	failed = 1
}

function note(text)
{
	print text >(name ".session")
	fflush(name ".session")
}

# ---- executing ----

# What it says is in reply[1] and so on; returns how many lines these are. Behind each command goes another one that
# prints a mark, which also shows who has got it.
function execute(i,    started, text)
{
	started = systime()
	text = with_real_numbers(command[i])
	note((is_gdb[i] ? "(gdb) " : "$ ") text)
	if (is_gdb[i - 1] && !is_gdb[i])
		print "quit" |& shell
	if (is_gdb[i] || is_gdb[i + 1])
		print text "\necho \\n@gdb\\n" |& shell
	else
		print "{ " text "\n} </dev/null; printf '\\n@shell %d\\n' $?" |& shell
	fflush(shell)
	return read_reply(i, started)
}

function read_reply(i, started,    n, line, last)
{
	while ((shell |& getline line) > 0) {
		sub(/\r$/, "", line)
		sub(/^(\(gdb\) )+/, "", line)
		if (line ~ /^@(gdb|shell [0-9]+)$/) {
			note("[" systime() - started " s]")
			if (line ~ /shell [^0]/)
				fail(i, "status" substr(line, 7) ": " last)
			return n
		}
		if (line == "n@gdbn") {
			fail(i, "there is no gdb: " last)
			return n
		}
		note(line)
		reply[++n] = line
		last = line ~ /[^ ]/ ? line : last
	}
	fail(i, "ends in the middle, or takes too long: " last)
	return n
}

# ---- comparing ----

function compare(i,    e, r)
{
	for (e = r = 1; e <= number_expected[i]; e++) {
		while (r <= number_of_replies && !is_line(expected[i, e], reply[r]))
			r++
		if (r++ > number_of_replies) {
			fail(i, "does not say '" expected[i, e] "', see " name ".session")
			return 0
		}
	}
	return 1
}

# Whether this is the document's line; if it is, its numbers are known from now on.
function is_line(shown, said,    pattern, keys, n, k, found, here)
{
	pattern = pattern_of(shown, keys)
	if (!match(said, pattern, found))
		return 0
	n = length(keys)
	for (k = 1; k <= n; k++) {
		if (keys[k] in here && here[keys[k]] != found[2 * k])
			return 0
		here[keys[k]] = found[2 * k]
	}
	for (k in here)
		real_number[k] = here[k]
	return 1
}

# A regular expression for the line. For each number that is not known yet, keys[] says which, and there are two
# groups: 0x, and the number without that.
function pattern_of(shown, keys,    words, between, n, w, text, key, pattern)
{
	delete keys
	n = split(shown, words, /([^A-Za-z0-9_.]|\.\.\.)+/, between)
	for (w = 0; w <= n; w++) {
		if (w in words && is_fraction(words[w])) {
			pattern = pattern "[0-9]+\\.[0-9]+"
		} else if (w in words && is_number(words[w])) {
			key = key_of(words[w])
			if (key in real_number) {
				pattern = pattern "0?x?0*" real_number[key]
			} else {
				pattern = pattern "(0x)?0*([0-9a-f]*)"
				keys[length(keys) + 1] = key
			}
		} else if (w in words) {
			pattern = pattern escape(words[w])
		}
		text = escape(between[w])
		gsub(/(\\\.){3}/, ".*", text)
		gsub(/[ \t]+/, "[ \t]+", text)
		pattern = pattern text
	}
	return "^" pattern "[ \t]*$"
}

function escape(text)
{
	gsub(/[][\\.*+?^$(){}|\/]/, "\\\\&", text)
	return text
}

function is_fraction(word)
{
	return word ~ /^[0-9]+\.[0-9]+$/
}

function is_number(word)
{
	return word ~ /^(0x)?[0-9a-f]{5,}$/ && word ~ /[0-9]/
}

function key_of(number)
{
	sub(/^0x/, "", number)
	sub(/^0+/, "", number)
	return number
}

function with_real_numbers(text,    words, between, n, w, result)
{
	n = split(text, words, /([^A-Za-z0-9_.]|\.\.\.)+/, between)
	result = between[0]
	for (w = 1; w <= n; w++) {
		if (is_number(words[w]) && key_of(words[w]) in real_number)
			sub(/0*[0-9a-f]+$/, real_number[key_of(words[w])], words[w])
		result = result words[w] between[w]
	}
	return result
}
