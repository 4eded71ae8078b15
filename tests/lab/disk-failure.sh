#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# disk-failure.sh - in the test machine: the file system below a disk's history is full, or the device below it fails.
# The guest sees I/O errors, which a replay repeats; or it waits until the failure is over. Either way the history has
# all that the guest was told is safe.
#
# Beside it: bad-device.sh, preload-sync.so; image, vmlinuz, initrd.image (tools/lab/guest-image); vmlinux, initrd
# (tools/lab/guest-initrd).
#
# usage: disk-failure.sh

. ./lib.sh
. ./bad-device.sh

# record NAME OPTION...: the guest works on a new history in full/; NAME.console, NAME.err and NAME.log are left.
record()
{
	local name=$1 status=0
	shift
	rm -f full/*
	ttvm disk create image -o full/image.ttd >/dev/null
	timeout 1200 ttvm run --kernel vmlinuz --initrd initrd.image --append 'console=ttyS0 quiet root=/dev/vda1 ro rows=10' --mem 512M \
		--disk full/image.ttd "$@" --record="$name.log" --console "$name.console" </dev/null 2>"$name.err" || status=$?
	verdict "$name/record" "$([ "$status" = 0 ] || echo "status $status: $(one_line "$name.err")")"
}

# replay NAME: what it shows is what was recorded, and the history holds together.
replay()
{
	local name=$1 status=0
	timeout 1200 ttvm replay "$name.log" >rep.console 2>rep.err </dev/null || status=$?
	verdict "$name/replay" "$(if [ "$status" != 0 ]; then
		echo "status $status: $(one_line rep.err)"
	elif ! cmp -s "$name.console" rep.console; then
		echo "another console"
	elif [ "$(field digest "$name.err")" != "$(field digest rep.err)" ]; then
		echo "another digest"
	fi)"
	verdict "$name/check" "$(ttvm disk check full/image.ttd >check.out 2>&1 || one_line check.out)"
}

mkdir full
mount -t tmpfs -o size=6M full full

record report
verdict report/guest-sees-it "$(grep -q 'I/O error' report.console || echo "no I/O error: $(one_line report.console)")"
verdict report/logged "$(ttvm info report.log --events | grep -q ' failure .*No space' || echo "the log has no such failure")"
replay report
# An event that takes effect inside an exit: a visit of it stops right behind that exit.
event=$(ttvm info report.log --events | awk '/ failure / { print $1; exit }')
EXPECT_TIMEOUT=1200 expect report/visit 0 "^ttvm: replayed instr=[0-9]* events=$event " ttvm replay report.log --to-event "$event"

# Somebody makes room as soon as the run says that it waits.
(
	until grep -q 'the guest waits' pause.err 2>/dev/null; do
		sleep 0.2
	done
	mount -o remount,size=200M full
) &
helper=$!
record pause --on-disk-error pause
kill $helper 2>/dev/null
verdict pause/said "$(grep -q 'history cannot be written: No space.*the guest waits' pause.err || one_line pause.err)"
verdict pause/work-done "$(grep -q '^run: 0' pause.console || echo "the guest did not do its work: $(one_line pause.console)")"
verdict pause/nothing-failed "$(! ttvm info pause.log --events | grep -q ' failure ' || echo "the log has a failure")"
replay pause
umount full

# ---- what the guest was told ----
#
# A Linux guest writes block after block, flushes every fourth, and says of each block when it is safe (guest-disk
# durable). The history is then looked at as after a power failure: what the host had in memory is gone.

BLOCKS=240
truncate -s 8M disk
awk -v blocks=$BLOCKS 'BEGIN {
	for (n = 0; n < blocks; n++) {
		line = sprintf("request %07d\n", n)
		for (i = 0; i < 4096 / length(line); i++)
			printf "%s", line
	}
}' >expected

# write_blocks NAME OPTION...: a guest does so on a new history in fs/, which is mounted; leaves NAME.log, .console and
# .err; sets status. PRELOAD: a library for it.
write_blocks()
{
	local name=$1
	shift
	status=0
	ttvm disk create disk -o fs/disk.ttd >/dev/null
	LD_PRELOAD=${PRELOAD-} timeout 300 ttvm run vmlinux --initrd initrd --mem 256M --disk fs/disk.ttd \
		--append "$FAST_LINE work=durable requests=$BLOCKS" "$@" \
		--record="$name.log" --console "$name.console" </dev/null 2>"$name.err" || status=$?
	verdict "$name/record" "$([ "$status" = 0 ] || echo "status $status: $(one_line "$name.err")")"
}

# said NAME TEXT: how often the guest has said so.
said()
{
	grep -c -- "disk: $2" "$1.console"
}

# when COMMAND...: waits until it succeeds; at most a minute, so that a test that went wrong ends.
when()
{
	local n
	for ((n = 0; n < 1200; n++)); do
		! "$@" 2>/dev/null || return 0
		sleep 0.05
	done
	echo "never came: $*" >&2
	return 1
}

said_more() { [ "$(said "$1" "$2")" -ge "$3" ]; }
waits() { grep -q "history cannot be written: $2; the guest waits" "$1.err"; }

# lost NAME: which of the blocks that are safe, as the guest was told, the history in fs/ does not have. There must have
# been some.
lost()
{
	local number
	sed -n 's/^disk: safe \([0-9]*\).*/\1/p' "$1.console" >safe
	number=$(wc -l <safe)
	[ "$number" -ge 40 ] || { echo "only $number blocks were safe"; return; }
	ttvm disk export fs/disk.ttd --at now --raw now.raw --force >/dev/null 2>export.err ||
		{ one_line export.err; return; }
	cmp -l now.raw expected 2>/dev/null |
		awk '{ n = int(($1 - 1) / 4096) } n != last { print n } { last = n }' last=-1 >differ
	grep -Fxf differ safe >both
	[ ! -s both ] || echo "$(wc -l <both) of $number blocks, the first is $(head -n 1 both)"
}

# replay_blocks NAME: exactly as recorded.
replay_blocks()
{
	local name=$1 status=0
	timeout 300 ttvm replay "$name.log" >rep.console 2>rep.err </dev/null || status=$?
	verdict "$name/replay" "$(if [ "$status" != 0 ]; then
		echo "status $status: $(one_line rep.err)"
	elif ! cmp -s "$name.console" rep.console; then
		echo "another console"
	elif [ "$(field digest "$name.err")" != "$(field digest rep.err)" ]; then
		echo "another digest"
	fi)"
}

# failures NAME REASON: events in the log that are such failures.
failures()
{
	ttvm info "$1.log" --events | grep -c " failure .*error=\"$2\""
}

# judge NAME HEALTH: after the power failure.
judge()
{
	local name=$1 size
	size=$(stat -c %s fs/disk.ttd)
	ttvm disk check fs/disk.ttd --json >check.json 2>check.err
	verdict "$name/check" "$(jq -e --arg health "$2" --argjson size "$size" \
		'.health == $health and .valid_bytes + .dropped_bytes == $size and (.dropped_bytes > 0) == ($health == "cut")' \
		check.json >/dev/null || echo "$(tr -d '\n' <check.json) $(one_line check.err)")"
	verdict "$name/acknowledged" "$(lost "$name")"
	replay_blocks "$name"
}

# power_failure: of the machine whose device is broken, or not.
power_failure()
{
	umount fs
	bad_device_heal 2>/dev/null
	e2fsck -fp /dev/bad >fsck.out 2>&1 || [ $? = 1 ] || one_line fsck.out
	mount /dev/bad fs
}

# new_device [MKE2FS OPTION...]
new_device()
{
	mke2fs -q -F -t ext4 "$@" /dev/bad
	mount /dev/bad fs
}

mkdir fs

# A file system that gets full in the middle of a record. The guest gives up; what follows the last flush is dropped.
mount -t tmpfs -o size=512K fs fs
write_blocks full
verdict full/guest-sees-it "$([ "$(said full 'failed flush: Input/output error')" -gt 0 ] || one_line full.console)"
verdict full/logged "$([ "$(failures full 'No space left on device')" -gt 0 ] || echo "the log has no such failure")"
judge full cut
umount fs

if ! bad_device_create 48; then
	skipped bad-device "this kernel has no null_blk"
	[ "$FAILED" = 0 ]
	exit
fi

# The device fails for a while. After that, the guest goes on: so this is a file system that does, too. One with a
# journal survives only if the journal was not written to meanwhile.
new_device -O ^has_journal
rm -f once.console
{ when said_more once safe 40 && bad_device_break && when said_more once 'failed flush' 3 && bad_device_heal; } &
helper=$!
write_blocks once
wait $helper
verdict once/guest-sees-it "$([ "$(said once 'failed flush: Input/output error')" -ge 3 ] || one_line once.console)"
verdict once/goes-on "$(tr -d '\r' <once.console | grep -q "^disk: safe $((BLOCKS - 1))$" || one_line once.console)"
verdict once/logged "$([ "$(failures once 'Input/output error')" -ge 3 ] || echo "the log lacks them")"
power_failure
judge once clean
umount fs

# It fails for good. The file system's journal gives up, too.
new_device
rm -f for-good.console
{ when said_more for-good safe 40 && bad_device_break; } &
helper=$!
write_blocks for-good
wait $helper
verdict for-good/guest-sees-it \
	"$([ "$(said for-good 'failed flush: Input/output error')" -ge 10 ] || one_line for-good.console)"
verdict for-good/logged "$([ "$(failures for-good 'Input/output error')" -ge 10 ] || echo "the log lacks them")"
power_failure
judge for-good clean
umount fs

# The same with a ttvm that does not know of failed flushes: this test notices.
new_device -O ^has_journal
rm -f control.console
{ when said_more control safe 40 && bad_device_break; } &
helper=$!
PRELOAD=./preload-sync.so write_blocks control
wait $helper
verdict control/nothing-failed "$([ "$(said control 'failed')" = 0 ] || one_line control.console)"
power_failure
lost control >lost
verdict control/loss-is-noticed "$(grep -q '^[0-9]* of [0-9]* blocks' lost || echo "it is not: '$(one_line lost)'")"
umount fs

# The guest waits until the device works again.
new_device -O ^has_journal
rm -f wait.console wait.err
{
	when said_more wait safe 40 && bad_device_break && when waits wait 'Input/output error' && sleep 2 &&
		bad_device_heal
} &
helper=$!
write_blocks wait --on-disk-error pause
wait $helper
verdict wait/said "$(waits wait 'Input/output error' || one_line wait.err)"
verdict wait/guest-sees-nothing \
	"$([ "$(said wait failed)" = 0 ] && [ "$(said wait safe)" = $BLOCKS ] || one_line wait.console)"
verdict wait/nothing-failed "$([ "$(failures wait '.*')" = 0 ] || echo "the log has a failure")"
power_failure
judge wait clean
umount fs

# It never does, and somebody ends the run.
new_device
rm -f stop.console stop.err
{
	when said_more stop safe 40 && bad_device_break && when waits stop 'Input/output error' && sleep 1 &&
		ttvm ctl stop.socket stop
} >/dev/null 2>ctl.err &
helper=$!
write_blocks stop --on-disk-error pause --control stop.socket
wait $helper
verdict stop/said \
	"$(waits stop 'Input/output error' && grep -q 'stopped by .ttvm ctl.' stop.err || one_line stop.err)"
verdict stop/guest-sees-nothing "$([ "$(said stop failed)" = 0 ] || one_line stop.console)"
power_failure
judge stop clean
umount fs

[ "$FAILED" = 0 ] || cp ./*.err ./*.console "$OUT/" 2>/dev/null
[ "$FAILED" = 0 ]
