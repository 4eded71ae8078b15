# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# lib.sh - what test scripts share, on the host and in the test machine.
#
# A test script prints one line per test, `ok NAME`, `not ok NAME: WHY` or `skipped NAME: WHY`, and goes on after a
# failure; tests/check counts those lines. Anything else that it prints is kept for whoever looks into a failure.
# In the test machine $OUT comes back to the host: what explains a failure is left there.

OUT=${OUT:-out}
FAILED=0

ok()
{
	echo "ok $1"
}

not_ok()
{
	FAILED=$((FAILED + 1))
	echo "not ok $1: ${*:2}"
}

skipped()
{
	echo "skipped $1: ${*:2}"
}

# verdict NAME WHY: ok when WHY is empty.
verdict()
{
	if [ -z "$2" ]; then
		ok "$1"
	else
		not_ok "$1" "$2"
	fi
}

# one_line FILE: its end as one short line, for a WHY.
one_line()
{
	tr -d '\r' <"$1" 2>/dev/null | tail -n 3 | tr '\n' ' ' | cut -c1-300
}

# expect NAME STATUS PATTERN COMMAND...: the command must exit with STATUS and say something on stderr that matches
# PATTERN (an extended regular expression). Its output stays in $OUT/NAME.{out,err} on failure.
expect()
{
	local name=$1 status=$2 pattern=$3 got=0 file why=
	shift 3
	file=$OUT/${name//\//_}
	timeout "${EXPECT_TIMEOUT:-120}" "$@" >"$file.out" 2>"$file.err" </dev/null || got=$?
	if [ "$got" != "$status" ]; then
		why="status $got instead of $status: $(one_line "$file.err")"
	elif ! grep -Eq -- "$pattern" "$file.err"; then
		why="the message lacks '$pattern': $(one_line "$file.err")"
	fi
	verdict "$name" "$why"
	[ -n "$why" ] || rm -f "$file.out" "$file.err"
}

# field NAME FILE: the value of NAME=VALUE in the last line of FILE that has it, as in ttvm's last line.
field()
{
	sed -n "s/.*[ ^]$1=\([^ ]*\).*/\1/p" "$2" | tail -n 1
}

# Set by tests/check for all that it starts; by hand they have the defaults of a quick look.
STOCK_LINE='console=ttyS0'
FAST_LINE='console=ttyS0 panic=-1 reboot=t quiet nokaslr tsc=reliable no_timer_check mitigations=off init_on_alloc=0'
FAST_LINE+=' cryptomgr.notests 8250.nr_uarts=1 i8042.noaux i8042.nokbd randomize_kstack_offset=off'
export STOCK_LINE FAST_LINE
