#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# measure.sh - in the test machine: run, record and replay each work in turn, and leave $OUT/run-WORK-MODE-N.json.
#
# Works on a disk run on a raw file, too, without history (mode raw); and on both at once, by turns (mode pair), because
# nothing else is fair on a machine that does other things as well. The disk is one of random bytes, half of which a guest
# has written over: what is read comes from base and history. Work `disk` is what all of them do before and after: boot, look
# for the disk, power off.
#
# usage: measure.sh REPEAT "WORK..."

. ./lib.sh
. ./disk.sh
set -o pipefail
repeat=$1 works=$2

# stats WORK MODE N: what --stats wrote, with labels, the host's instructions, and what a disk's work took.
stats()
{
	jq --arg work "$1" --arg mode "$2" --argjson n "$3" --slurpfile host host.json --slurpfile disk disk.json \
		'. + {work: $work, mode: $mode, n: $n, host: $host[0], disk: $disk[0]}' stats.json >"$OUT/run-$1-$2-$3.json"
	echo "$1 $2 $3 $(jq .seconds stats.json)"
	echo "$1 $2 $3 $(jq .seconds stats.json) s" >&2
}

die()
{
	echo "measure: $*: $(one_line err)" >&2
	exit 1
}

# ttvm_run CONSOLE ARGUMENT...: the guest's work is in $line.
ttvm_run()
{
	local console=$1
	shift
	./count-instructions host.json timeout 900 ttvm run vmlinux --initrd initrd --append "$line" --mem 256M \
		--stats stats.json "$@" 2>err </dev/null | tee "$console" | time_disk disk.json
}

# ttvm_replay: rec.log, whose console is in record.out.
ttvm_replay()
{
	./count-instructions host.json timeout 900 ttvm replay rec.log --stats stats.json 2>err </dev/null |
		tee replay.out | time_disk disk.json || die "$1 cannot be replayed"
	cmp record.out replay.out || die "$1: the replay's console differs"
}

measure()
{
	local work=$1 n=$2 line scale=1
	# So much that booting does not hide it.
	case $work in
	compute) scale=4 ;;
	irq) scale=2 ;;
	esac
	line="$FAST_LINE work=$work scale=$scale"
	ttvm_run plain.out || die "$work cannot be run"
	stats "$work" plain "$n"
	ttvm_run record.out --record=rec.log || die "$work cannot be recorded"
	stats "$work" record "$n"
	ttvm_replay "$work"
	stats "$work" replay "$n"
}

# prepare_disk: filled.img, and disk.img with the history in filled.ttd*: the same content, by the same guest.
prepare_disk()
{
	local line="$FAST_LINE work=randwrite requests=15000" file
	mv disk.bytes disk.img
	cp disk.img filled.img
	ttvm_run prepare.out --disk filled.img,plain || die "the disk cannot be filled"
	ttvm_run prepare.out --disk disk.img || die "the disk's history cannot be filled"
	for file in disk.img.ttd*; do
		mv "$file" "filled${file#disk.img}"
	done
}

# fill_disk: raw.img and disk.img are as they were prepared.
fill_disk()
{
	local file
	rm -f raw.img disk.img.ttd*
	cp filled.img raw.img
	for file in filled.ttd*; do
		cp "$file" "disk.img${file#filled}"
	done
}

# history_bytes: of the disk's history; its index, 16 bytes for each write and flush, can be made anew at any time.
history_bytes()
{
	stat -c %s disk.img.ttd
}

# measure_disk WORK N REQUESTS: without requests it is work `disk`.
measure_disk()
{
	local work=$1 n=$2 line mode before checksum='' options
	line="$FAST_LINE work=$work requests=$3"
	[ "$3" != 0 ] || work=disk
	for mode in pair raw plain record replay; do
		case $mode in
		pair) options=(--disk "raw.img,plain" --disk disk.img) ;;
		raw) options=(--disk "raw.img,plain") ;;
		plain) options=(--disk disk.img) ;;
		record) options=(--disk disk.img --record=rec.log) ;;
		esac
		# A replay finds the history as the recording has left it.
		[ "$mode" = replay ] || fill_disk
		before=$(history_bytes)
		if [ "$mode" = replay ]; then
			ttvm_replay "$work"
		else
			ttvm_run "$mode.out" "${options[@]}" || die "$work cannot be done ($mode)"
		fi
		jq --argjson grown $(($(history_bytes) - before)) 'if . then .history_bytes = $grown else . end' disk.json >disk.new
		mv disk.new disk.json
		stats "$work" "$mode" "$n"
		: "${checksum:=$(jq -r .checksum disk.json)}"
		[ "$checksum" = "$(jq -r .checksum disk.json)" ] || die "$work: the guest reads other data ($mode)"
	done
	rm -f raw.img disk.img.ttd*
}

disk_works=$(for work in $works; do disk_requests "$work"; done)
[ -z "$disk_works" ] || prepare_disk
for ((n = 1; n <= repeat; n++)); do
	[ -z "$disk_works" ] || measure_disk seqread "$n" 0
	for work in $works; do
		requests=$(disk_requests "$work")
		if [ "$requests" ]; then
			measure_disk "$work" "$n" "$requests"
			continue
		fi
		[ "$work" != idle ] || [ "$n" = 1 ] || continue
		measure "$work" "$n"
		# What a landing costs: the same replay with more branches between the alarm and the position.
		if [ "$work" = irq ] && [ "$n" = 1 ]; then
			for margin in 20 200 2000; do
				timeout 900 ttvm replay --quiet rec.log --margin $margin --stats stats.json 2>err </dev/null ||
					die "margin $margin"
				stats irq "margin$margin" 1
			done
		fi
	done
done
