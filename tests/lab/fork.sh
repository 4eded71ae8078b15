#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fork.sh - in the test machine: guests live on from the past (ttvm fork), as recordings of their own.
#
# usage: fork.sh FORKS
#
# At FORKS random instructions of tiny guests' recordings, and of a Linux guest's with a disk.
# Beside it: guests, vmlinux, initrd.

. ./lib.sh
forks=$1
export EXPECT_TIMEOUT=600

record()
{
	local log=$1
	shift
	timeout 400 ttvm run "$@" --record="$log" --console rec.console </dev/null 2>rec.err
	grep -q '^ttvm: recorded' rec.err || { not_ok "record/$log" "$(one_line rec.err)"; exit 1; }
	length=$(field instr rec.err)
}

# state LOG N: registers and digest there.
state()
{
	timeout 600 ttvm replay --quiet "$1" --to-instr "$2" --regs 2>state.err </dev/null
	field digest state.err
}

origin()
{
	ttvm info "$1" --json | jq -r '.recording.origin | "\(.recording) \(.instructions)"'
}

# fork_at NAME LOG N [OPTION]...: NAME.zst and NAME.console; it matches itself, and LOG up to N.
fork_at()
{
	local name=$1 log=$2 at=$3 status=0
	shift 3
	timeout 600 ttvm fork "$log" --to-instr "$at" --record "$name.zst" --console "$name.console" "$@" </dev/null \
		2>"$name.err" || status=$?
	if [ "$status" != 0 ] || ! grep -q '^ttvm: recorded' "$name.err"; then
		not_ok "$name/fork" "at $at: status $status: $(one_line "$name.err")"
		cp "$log" "$name.err" "$OUT/"
		return 1
	fi
	ok "$name/fork"
	EXPECT_TIMEOUT=600 expect "$name/verify" 0 '^ttvm: verified' ttvm verify "$name.zst"
	state "$log" "$at" >state.parent
	state "$name.zst" "$at" >state.fork
	verdict "$name/common-past" "$(cmp state.parent state.fork 2>&1)"
	verdict "$name/origin" "$([ "$(origin "$name.zst")" = "$(ttvm info "$log" --json | jq -r .recording.id) $at" ] ||
		echo "it says $(origin "$name.zst")")"
}

# ---- tiny guests; their futures depend on when the timer comes, so none is like the other ----

for guest in timer-storm page-fault rdtsc-storm nested-exceptions hlt-idle; do
	record tiny.zst "guests/$guest" --mem 32M
	for ((i = 0; i < forks; i++)); do
		fork_at "$guest-$i" tiny.zst $(((RANDOM << 15 | RANDOM) * length >> 30)) || continue
	done
done
fork_at begin tiny.zst 0
record timer.zst guests/timer-storm --mem 32M
fork_at other timer.zst $((length / 2))
verdict other/another-future "$([ "$(field digest rec.err)" != "$(field digest other.err)" ] || echo "the same digest at the end")"
fork_at child other.zst $((length / 4 * 3))

# ---- other input ----

record quiet.zst guests/serial-input --mem 32M
fork_at typed quiet.zst $((length / 2)) --at-fork quit
verdict typed/typed "$(grep -q quit typed.console || echo "no 'quit' in $(one_line typed.console)")"
verdict typed/ends-early "$([ "$(field instr typed.err)" -lt "$length" ] || echo "it went on to $(field instr typed.err)")"

# ---- a recording that was stopped goes on ----

status=0
timeout 100 ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=mixed" --mem 128M --record=stopped.zst --console none \
	--control control </dev/null 2>rec.err &
run=$!
until ttvm ctl control status 2>/dev/null | grep -q 'instr=[1-9]'; do
	kill -0 $run || break
	sleep 0.1
done
ttvm ctl control mark here >/dev/null
ttvm ctl control stop >/dev/null
wait $run || status=$?
stopped=$(field instr rec.err)
verdict stopped/record "$([ "$status" = 0 ] && [ -n "$stopped" ] || echo "status $status: $(one_line rec.err)")"
fork_at stopped-fork stopped.zst "$stopped"
verdict stopped/goes-on "$([ "$(field instr stopped-fork.err)" -gt "$stopped" ] || echo "it ends at $(field instr stopped-fork.err)")"

# ---- other ways to say where ----

# fork_to NAME LOG OPTION VALUE N: the same as at instruction N.
fork_to()
{
	expect "$1/fork" 0 "^ttvm: live from instruction $5 on" timeout 600 ttvm fork "$2" "$3" "$4" --record "$1.zst" --console none \
		--timeout 1
	verdict "$1/origin" "$([ "$(origin "$1.zst")" = "$(ttvm info "$2" --json | jq -r .recording.id) $5" ] ||
		echo "it says $(origin "$1.zst")")"
	expect "$1/verify" 0 '^ttvm: verified' ttvm verify "$1.zst"
}

marked=$(ttvm info stopped.zst --events --json | jq -r '.event_list[] | select(.name == "here") | .instructions')
fork_to to-mark stopped.zst --to-mark here "$marked"
events=$(ttvm info quiet.zst --json | jq .events)
ttvm replay --quiet quiet.zst --to-event $((events / 2)) 2>event.err </dev/null
fork_to to-event quiet.zst --to-event $((events / 2)) "$(field instr event.err)"
expect to-mark/unknown 1 "no mark 'there'" ttvm fork stopped.zst --to-mark there --record end.zst
expect to-event/beyond 1 "the recording has events 0 to" ttvm fork quiet.zst --to-event "$events" --record end.zst
expect to/two 1 'exclude each other' ttvm fork quiet.zst --to-event 1 --to-instr 1 --record end.zst

# ---- a disk of its own ----

# raw DISK T: a digest of its content.
raw()
{
	ttvm disk export "$1" --at "$2" --raw raw --force >export.out 2>&1 || one_line export.out
	md5sum <raw
	rm -f raw
}

head -c 16M /dev/urandom >disk
record disk.zst vmlinux --initrd initrd --append "$FAST_LINE work=fsync requests=40" --mem 128M --disk disk
writes=$(ttvm disk log disk --json | jq '[.[].instr] | (min + max) / 2 | floor')
parent=$(raw disk now)
fork_at disk-fork disk.zst "$writes" --branch branch.ttd
verdict disk/parent-as-before "$([ "$(raw disk now)" = "$parent" ] || echo "the parent's disk has changed")"
verdict disk/common-past "$([ "$(raw disk "instr:$writes@disk.zst")" = "$(raw branch.ttd "instr:$writes@disk-fork.zst")" ] ||
	echo "the branch differs at the fork")"
verdict disk/continued "$([ "$(raw branch.ttd now)" != "$(raw branch.ttd "instr:$writes@disk-fork.zst")" ] ||
	echo "nothing was written behind the fork")"

# ---- what cannot be, leaves nothing behind ----

marks=$(ttvm disk info disk --json | jq .marks)
expect over/refused 1 'the guest ends at instruction' ttvm fork disk.zst --to-instr "$length" --record end.zst
expect end/refused 1 'the recording ends at instruction' ttvm fork stopped.zst --to-instr $((stopped + 1000000)) --record end.zst
verdict end/nothing-left "$(ls end* 2>/dev/null)"
verdict end/no-mark "$([ "$(ttvm disk info disk --json | jq .marks)" = "$marks" ] || echo "the parent has kept a mark")"
expect exists/refused 1 'branch.ttd: exists already' ttvm fork disk.zst --to-instr 1000 --record exists.zst --branch branch.ttd
verdict exists/kept "$([ "$(raw branch.ttd base)" = "$(raw disk base)" ] || echo "the branch is gone")"
expect itself/refused 1 'that is the recording to be forked' ttvm fork disk.zst --to-instr 1000 --record ./disk.zst
expect missing/refused 1 'nowhere.zst' ttvm fork nowhere.zst --to-instr 1000
expect net/refused 1 'has 0 networks only' ttvm fork disk.zst --to-instr 1000 --net user --record net.zst

# A machine that does not behave as recorded is not let loose: here its disk is not the one that it was.
head -c 16M /dev/zero >zeroes
ttvm disk create zeroes -o zeroes.ttd >/dev/null
expect wrong-disk/refused 1 'not the|no such' ttvm fork disk.zst --to-instr "$writes" --disk zeroes.ttd --record wrong.zst
[ "$FAILED" = 0 ]
