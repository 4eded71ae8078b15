#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# timeline.sh - in the test machine: going to and fro in recordings of tiny guests and of a Linux guest (timeline.c), and in
# one with a disk.
#
# usage: timeline.sh VISITS
#
# Beside it: timeline, guests, vmlinux, initrd.

. ./lib.sh
visits=$1

# explore NAME VISITS: the recording rec.log.
explore()
{
	local status=0
	timeout 1200 ./timeline rec.log "$RANDOM" "$2" >explore.out 2>&1 || status=$?
	sed "s,^\(ok\|not ok\) ,&$1/," explore.out
	[ "$status" = 0 ] || { cp rec.log "$OUT/$1.log"; cp explore.out "$OUT/$1.out"; }
	[ "$status" -le 1 ] || not_ok "$1" "status $status"
}

for guest in tight-loop page-fault timer-storm nested-exceptions fpu-state rep; do
	# One of them in so little room that some of its checkpoints have to go.
	space=512M
	[ "$guest" != timer-storm ] || space=400K
	timeout 200 ttvm run "guests/$guest" --mem 32M --record=rec.log --checkpoint-every 0.01 --checkpoint-space $space \
		--console none </dev/null 2>rec.err
	grep -q '^ttvm: recorded' rec.err || { not_ok "$guest/record" "$(one_line rec.err)"; continue; }
	explore "$guest" "$visits"
done

timeout 400 ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=mixed" --mem 256M --record=rec.log --console none \
	--checkpoint-every 0.5 </dev/null 2>rec.err
if grep -q '^ttvm: recorded' rec.err; then
	explore linux "$visits"
else
	not_ok linux/record "$(one_line rec.err)"
fi

head -c 16M /dev/urandom >disk
timeout 400 ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=cached requests=300" --mem 256M --disk disk \
	--record=rec.log --checkpoint-every 0.5 --console none </dev/null 2>rec.err
if grep -q '^ttvm: recorded' rec.err; then
	explore disk $(((visits + 2) / 3))
	verdict disk/pages-by-place "$(grep -q '^# recorder: .* [1-9][0-9]* on disk' explore.out &&
		grep -q '^# [0-9]* checkpoints, .* [1-9][0-9]* on disk' explore.out || echo "none: $(grep 'on disk' explore.out)")"
else
	not_ok disk/record "$(one_line rec.err)"
fi
[ "$FAILED" = 0 ]
