#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# guests.sh - in the test machine: each tiny test kernel is recorded once and replayed several times.
#
# usage: guests.sh REPLAYS
#
# A replay must print the recorded console, which holds a checksum over where interrupts fell, and end with the digest
# of the recording. Margins differ from replay to replay.

. ./lib.sh
replays=$1
margins=('' 2 50 1000 20000)

replay()
{
	local status=0
	timeout 200 ttvm replay rec.log ${1:+--margin "$1"} >rep.console 2>rep.err </dev/null || status=$?
	[ "$status" = 0 ] || { echo "status $status: $(grep -m1 diverge rep.err) $(one_line rep.err)"; return; }
	cmp -s rec.console rep.console || { echo "another console: $(one_line rep.console)"; return; }
	[ "$(field digest rec.err)" = "$(field digest rep.err)" ] ||
		echo "digest=$(field digest rep.err) instead of $(field digest rec.err)"
}

for guest in guests/*; do
	[ -f "$guest" ] || continue
	name=${guest##*/}
	status=0
	timeout 200 ttvm run "$guest" --mem 64M --record=rec.log --console rec.console --guest-status --timeout 120 \
		</dev/null 2>rec.err || status=$?
	why=
	[ "$status" = 0 ] || why="recording ended with status $status: $(one_line rec.console) $(one_line rec.err)"
	for ((i = 0; i < replays && !${#why}; i++)); do
		margin=${margins[i % ${#margins[@]}]}
		why=$(replay "$margin")
		[ -z "$why" ] || why="replay $i${margin:+ with margin $margin}: $why"
	done
	verdict "$name" "$why"
	if [ "$why" ]; then
		mkdir -p "$OUT/$name"
		mv rec.* rep.* "$OUT/$name/" 2>/dev/null
	fi
	rm -f rec.* rep.*
done
[ "$FAILED" = 0 ]
