#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# disk-failure.sh - in the test machine: the file system below a disk's history is full. The guest sees I/O errors, which a
# replay repeats; or it waits until there is room again. The history stays valid either way.
#
# Beside it: image, vmlinuz, initrd (tools/lab/guest-image).
#
# usage: disk-failure.sh

. ./lib.sh

# record NAME OPTION...: the guest works on a new history in full/; NAME.console, NAME.err and NAME.log are left.
record()
{
	local name=$1 status=0
	shift
	rm -f full/*
	ttvm disk create image -o full/image.ttd >/dev/null
	timeout 1200 ttvm run --kernel vmlinuz --initrd initrd --append 'console=ttyS0 quiet root=/dev/vda1 ro rows=10' --mem 512M \
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
[ "$FAILED" = 0 ] || cp ./*.err ./*.console "$OUT/" 2>/dev/null
[ "$FAILED" = 0 ]
