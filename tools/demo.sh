# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# demo.sh - the part of tools/demo that runs in the test machine.

say()
{
	printf '%s\n' "$*"
}

# run COMMAND...: shows the command, runs it, indents what it says last.
run()
{
	local status=0
	say "    \$ $*" | sed 's/ >[^ ]*$//'
	"$@" 2>messages || status=$?
	tail -n 1 messages | sed 's/^/      /'
	return $status
}

fail()
{
	say "    $*: this should not happen; please report it"
	cat messages
	exit 1
}

# field NAME FILE: of ttvm's last line.
field()
{
	sed -n "s/.* $1=\([^ ]*\).*/\1/p" "$2" | tail -n 1
}

line='console=ttyS0 quiet work=mixed witness=1'
run ttvm run vmlinuz --initrd initrd --append "$line" --mem 256M --record=log.zst --console first.console ||
	fail "the recording failed"
cp messages first.messages
instr=$(field instr messages)
say
say "    What the guest said (time, interrupt counts and random bytes differ in every run, but not in a replay):"
tr -d '\r' <first.console | grep -E '^(work|sum|gzip)|^[0-9]+\.[0-9]+ |LOC:|^[0-9]{10}$|  -$' | cut -c1-90 |
	tail -n 9 | sed 's/^/      | /'
say
say "    \$ ttvm replay log.zst >replay.console"
ttvm replay log.zst >replay.console 2>messages </dev/null || fail "the replay failed"
tail -n 1 messages | sed 's/^/      /'
cmp first.console replay.console || fail "the consoles differ"
say "      console:              $(wc -c <replay.console) bytes, identical"
for key in instr events digest; do
	[ "$(field $key messages)" = "$(field $key first.messages)" ] || fail "$key differs"
done
say "      registers, memory and devices at the end: identical (digest $(field digest messages))"
say
part=$((instr / 3))
for visit in 1 2; do
	ttvm replay log.zst --quiet --to-instr $part --regs --mem-digest >visit.$visit 2>messages </dev/null ||
		fail "instruction $part cannot be visited"
done
say "    \$ ttvm replay log.zst --to-instr $part --regs --mem-digest     # a third of the way, twice"
grep -E '^(rip|rax|rsp|memory)=' visit.1 | tr '\n' ' ' | sed 's/^/      /; s/$/\n/'
cmp visit.1 visit.2 || fail "the two visits differ"
say "      $(wc -l <visit.1) lines of registers and the digest of all memory: identical in both visits"
say
say "    Each of those $instr instructions can be visited like this. What made this run unique takes"
say "    $(ttvm info log.zst --json | jq .bytes.events) bytes in the log, for $(field seconds first.messages) seconds."
