#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# measure.sh - in the test machine: run, record and replay each work in turn, and leave $OUT/run-WORK-MODE-N.json.
#
# usage: measure.sh REPEAT "WORK..."

. ./lib.sh
repeat=$1 works=$2

# stats WORK MODE N LOG: what --stats wrote, with labels and what `ttvm info` says of the log.
stats()
{
	jq --arg work "$1" --arg mode "$2" --argjson n "$3" --slurpfile host host.json \
		'. + {work: $work, mode: $mode, n: $n, host: $host[0]}' stats.json >"$OUT/run-$1-$2-$3.json"
	echo "$1 $2 $3 $(jq .seconds stats.json)"
	echo "$1 $2 $3 $(jq .seconds stats.json) s" >&2
}

die()
{
	echo "measure: $*: $(one_line err)" >&2
	exit 1
}

measure()
{
	local work=$1 n=$2 run scale=1
	# So much that booting does not hide it.
	case $work in
	compute) scale=4 ;;
	irq) scale=2 ;;
	esac
	run=(./count-instructions host.json timeout 900 ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=$work scale=$scale" --mem 256M
		--stats stats.json)
	"${run[@]}" --console plain.out </dev/null 2>err || die "$work cannot be run"
	stats "$work" plain "$n"
	"${run[@]}" --console record.out --record=rec.log </dev/null 2>err || die "$work cannot be recorded"
	stats "$work" record "$n"
	./count-instructions host.json timeout 900 ttvm replay rec.log --stats stats.json >replay.out 2>err </dev/null || die "$work cannot be replayed"
	cmp record.out replay.out || die "$work: the replay's console differs"
	stats "$work" replay "$n"
}

for ((n = 1; n <= repeat; n++)); do
	for work in $works; do
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
