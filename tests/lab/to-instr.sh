#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# to-instr.sh - in the test machine: any instruction of a recording can be visited.
#
# usage: to-instr.sh POSITIONS WALK [WORK]
#
# In a recording of a Linux guest doing WORK (boot): at POSITIONS random N, two invocations of --to-instr print the same
# registers, and N and N+1 are one instruction apart: rip moves by the length of the instruction at N, or the instruction
# is one that goes elsewhere, or an interrupt or fault came in between (then an IRETQ frame holds the way back). A
# single-step walk across WALK instructions agrees with --to-instr wherever one looks. Then the ends and the errors.

. ./lib.sh
positions=$1 walk=$2 work=${3:-boot}

timeout 600 ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=$work" --mem 128M --record=rec.log --console none \
	</dev/null 2>rec.err || not_ok record "$(one_line rec.err)"
last=$(field instr rec.err)
events=$(field events rec.err)
[ "${last:-0}" -gt 1000000 ] || { not_ok record "only $last instructions"; exit 1; }
ok record
echo "instructions $last events $events"

# A number below $1 of 15-bit random pieces.
random_below()
{
	echo $(((RANDOM << 45 | RANDOM << 30 | RANDOM << 15 | RANDOM) % $1))
}

# registers N FILE
registers()
{
	timeout 600 ttvm replay --quiet rec.log --to-instr "$1" --regs >"$2" 2>to.err </dev/null
}

# step_of N FILE: two lines "N rip=... regs=..." for N and N+1, by one process.
step_of()
{
	timeout 600 ttvm replay --quiet rec.log --to-instr "$1" --walk 1 2>to.err </dev/null | grep -E '^[0-9]+ rip=' >"$2"
}

# instruction_at RIP: its length and mnemonic by the kernel's file, empty outside of its text.
instruction_at()
{
	case $1 in
	ffffffff8*) ;;
	*) return ;;
	esac
	objdump -d --no-show-raw-insn --start-address="0x$1" --stop-address="$(printf '0x%x' $((0x$1 + 32)))" vmlinux \
		2>/dev/null | awk '/^ *[0-9a-f]+:/ { sub(":", "", $1); if (n++) { print $1, what; exit } what = $2 }'
}

# one_apart RIP NEXT: sets why to what is odd about this pair, if anything.
one_apart()
{
	local after what
	read -r after what < <(instruction_at "$1")
	[ "$1" != "$2" ] || case ${what:-rep} in
	rep* | jmp* | loop*) return ;;
	*)
		why="rip stands still at $1 ($what)"
		return
		;;
	esac
	[ -n "$after" ] || { unknown=$((unknown + 1)); return; }
	[ "$after" != "$2" ] || { sequential=$((sequential + 1)); return; }
	case $what in
	j* | call* | ret* | iret* | sysret* | loop* | int* | ud* | bnd | notrack | rep* | lret* | swapgs)
		elsewhere=$((elsewhere + 1))
		;;
	# The kernel changes its text: a no-operation in the file may be a jump in memory.
	nop* | xchg | data16 | cs | lea) elsewhere=$((elsewhere + 1)) ;;
	*)
		# A fault or an interrupt of this very instruction: rare, and in the entry code then.
		interrupted=$((interrupted + 1))
		echo "$1 ($what) to $2" >>"$OUT/interrupted"
		;;
	esac
}

sequential=0 elsewhere=0 interrupted=0 unknown=0
for ((i = 0; i < positions; i++)); do
	n=$(random_below "$last")
	why=
	registers "$n" regs.1 || why="--to-instr $n: $(one_line to.err)"
	registers "$n" regs.2 || why="--to-instr $n: $(one_line to.err)"
	[ "$why" ] || [ -s regs.1 ] || why="--to-instr $n --regs printed nothing"
	[ "$why" ] || cmp -s regs.1 regs.2 || why="two visits of $n differ: $(diff regs.1 regs.2 | head -n 4 | tr '\n' ' ')"
	verdict "twice/$i" "$why"
	[ -z "$why" ] || continue
	step_of "$n" pair || why="--walk 1 from $n: $(one_line to.err)"
	first=$(sed -n "s/^$n rip=\([0-9a-f]*\) .*/\1/p" pair)
	second=$(sed -n "s/^$((n + 1)) rip=\([0-9a-f]*\) .*/\1/p" pair)
	[ "$first" = "$(sed -n 's/^rip=//p' regs.1)" ] || why="the walk starts at '$first', not where --regs says"
	registers $((n + 1)) regs.2 || why="--to-instr $((n + 1)): $(one_line to.err)"
	[ "$second" = "$(sed -n 's/^rip=//p' regs.2)" ] || why="the walk's second rip '$second' is not that of $((n + 1))"
	[ "$why" ] || one_apart "$first" "$second"
	verdict "one-apart/$i" "$why"
done
echo "pairs: $sequential sequential, $elsewhere jumps, $interrupted interrupted, $unknown outside of the kernel's text"
if [ $((interrupted * 5)) -gt "$positions" ] && [ "$positions" -ge 8 ]; then
	not_ok one-apart/interrupted "$interrupted of $positions pairs are no neighbours in the kernel's text"
fi

# walk_agrees NAME START: sampled lines of one walk are those of visits.
walk_agrees()
{
	local name=$1 start=$2 why='' i n
	timeout 900 ttvm replay --quiet rec.log --to-instr "$start" --walk "$walk" 2>walk.err </dev/null |
		grep -E '^[0-9]+ rip=' >walk.lines
	[ "$(wc -l <walk.lines)" = $((walk + 1)) ] ||
		why="$(wc -l <walk.lines) lines for $walk instructions: $(one_line walk.err)"
	[ "$why" ] || awk -v n="$start" '$1 != n++ { exit 1 }' walk.lines || why="the numbers have gaps"
	for i in 0 1 $((walk / 3)) $((walk / 2)) $((walk - 1)); do
		[ -z "$why" ] || break
		n=$((start + i))
		step_of "$n" pair
		cmp -s <(grep "^$n " walk.lines) <(grep "^$n " pair) ||
			why="at $n: $(grep "^$n " walk.lines), visited: $(grep "^$n " pair) $(one_line to.err)"
	done
	verdict "walk/$name" "$why"
}

walk_agrees early $((last / 10))
walk_agrees late $(((last - walk) / 4 * 3 + $(random_below $((last / 8)))))

expect to-instr/0 0 'replayed instr=0 ' ttvm replay --quiet rec.log --to-instr 0 --regs
expect to-instr/1 0 'replayed instr=1 ' ttvm replay --quiet rec.log --to-instr 1 --regs
export EXPECT_TIMEOUT=600
expect to-instr/end 0 "replayed instr=$last " ttvm replay --quiet rec.log --to-instr "$last" --regs
expect to-instr/past-the-end 1 "the recording ends after $last instructions" \
	ttvm replay --quiet rec.log --to-instr $((last + 1))
expect to-instr/far-past-the-end 1 'the recording ends after' ttvm replay rec.log --to-instr 18446744073709551615
expect to-instr/no-number 1 'not a number' ttvm replay rec.log --to-instr twelve
expect to-event/0 0 'replayed instr=[0-9]* events=0 ' ttvm replay --quiet rec.log --to-event 0 --regs
expect to-event/middle 0 "replayed instr=[0-9]* events=$((events / 2)) " \
	ttvm replay --quiet rec.log --to-event $((events / 2)) --regs
expect to-event/past-the-end 1 'the recording has events 0 to' ttvm replay rec.log --to-event "$events"
[ "$FAILED" = 0 ]
