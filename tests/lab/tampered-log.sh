#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# tampered-log.sh - in the test machine: negative controls. A recording in which one thing was changed must not replay.
#
# usage: tampered-log.sh
#
# log-tamper changes one event of a recording; the replay must end with status 3 and name that event. Only a change of the
# clock shows later: where the guest looks at it or a timer is due, SLACK events on at most. Changes of the file end with status 4. What must not be noticed is tested too: an unchanged copy.

. ./lib.sh

# diverges LOG NAME CHANGE FROM SLACK
diverges()
{
	local log=$1 name=$2 change=$3 from=$4 slack=$5 k status=0 event
	k=$(./log-tamper "$log" bad.log "$change" "$from" 2>tamper.err) || {
		not_ok "$name" "log-tamper: $(one_line tamper.err)"
		return
	}
	timeout 300 ttvm replay --quiet bad.log 2>bad.err </dev/null || status=$?
	event=$(sed -n 's/.*diverges from the recording at event \([0-9]*\).*/\1/p' bad.err | tail -n 1)
	if [ "$status" != 3 ]; then
		not_ok "$name" "event $k: status $status instead of 3: $(one_line bad.err)"
	elif [ -z "$event" ]; then
		not_ok "$name" "event $k: the message names no event: $(one_line bad.err)"
	elif [ "$event" -lt "$k" ] || [ "$event" -gt $((k + slack)) ]; then
		not_ok "$name" "event $k was changed, event $event is blamed"
	else
		echo "$name: changed $k, noticed at $event" >>"$OUT/noticed"
		ok "$name"
	fi
}

# at_event LOG NAME FROM: each change of an event, from that one on.
at_event()
{
	local log=$1 name=$2 from=$3
	# Position, check and vector are compared at the event itself.
	diverges "$log" "$name/branches-plus-1" branches+ "$from" 0
	diverges "$log" "$name/branches-minus-1" branches- "$from" 0
	diverges "$log" "$name/rip" rip "$from" 0
	diverges "$log" "$name/check" check "$from" 0
	diverges "$log" "$name/vector" vector "$from" 0
	diverges "$log" "$name/drop-interrupt" drop-irq "$from" 2
	diverges "$log" "$name/drop" drop "$from" "$SLACK"
	diverges "$log" "$name/double" double "$from" "$SLACK"
	diverges "$log" "$name/swap" swap "$from" "$SLACK"
	diverges "$log" "$name/rebase" rebase "$from" "$SLACK"
}

# at_end LOG NAME
at_end()
{
	local log=$1 name=$2
	./log-tamper "$log" bad.log none
	EXPECT_TIMEOUT=300 expect "$name/unchanged" 0 '^ttvm: verified' ttvm verify bad.log
	diverges "$log" "$name/final-digest" state 0 0
	./log-tamper "$log" bad.log no-end >/dev/null
	EXPECT_TIMEOUT=300 expect "$name/no-end" 0 'no end to compare with' ttvm verify bad.log
	EXPECT_TIMEOUT=300 expect "$name/cut-off-end" 0 '^ttvm: replayed' ttvm replay --quiet bad.log
}

SLACK=4
ttvm run guests/timer-storm --mem 64M --record=storm.log --quiet --console none </dev/null
at_end storm.log timers
at_event storm.log timers 100

# Input: a byte of the payload. What the guest echoes is its checksum's matter, so its end differs.
typing()
{
	local i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		sleep 0.1
		echo "line $i"
	done
	echo quit
}
typing | ttvm run guests/serial-input --mem 64M --record=input.log --quiet --timeout 60 >/dev/null
if ./log-tamper input.log bad.log input 3 >/dev/null 2>&1; then
	diverges input.log input/payload input 3 40
else
	skipped input/payload "the guest took no input"
fi

ttvm run guests/rdtsc-storm --mem 64M --record=digest.log --digest-every 0.02 --quiet --console none </dev/null
diverges digest.log digest/logged digest 0 0

# A flipped bit, wherever it is, is never silently replayed. Sections come first, so most of these hit the kernel.
size=$(stat -c %s storm.log)
for part in 9 20 60 200 $((size / 2)) $((size - 9000)) $((size - 3000)) $((size - 600)); do
	cp storm.log bad.log
	byte=$(od -An -tu1 -j "$part" -N 1 bad.log | tr -d ' ')
	printf '%b' "\\x$(printf %02x $((byte ^ 16)))" | dd of=bad.log bs=1 seek="$part" conv=notrunc status=none
	expect "flipped-bit/at-$part" 4 'damaged|not a|version' ttvm verify bad.log
done
rm -f ./*.log

# The same with Linux, which takes more time before it looks at its clock.
SLACK=100
timeout 300 ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=boot" --mem 128M --record=boot.log --console none \
	--quiet </dev/null
at_event boot.log linux 60
[ "$FAILED" = 0 ]
