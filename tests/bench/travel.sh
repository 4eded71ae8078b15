# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# travel.sh - in the test machine: record a guest, replay it, and move about in the recording; travel.json in $OUT.
#
# usage: travel.sh GOTOS STEPS
#
# Beside it: travel, vmlinux, initrd.

set -euo pipefail
. ./lib.sh

ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=mixed scale=${3:-4}" --mem 256M --record=rec.log --console none </dev/null
ttvm info rec.log --json | jq '{ guest_seconds: .guest_seconds_at_least }' >info.json
start=$EPOCHREALTIME
ttvm replay --quiet rec.log </dev/null
end=$EPOCHREALTIME
./travel rec.log "$RANDOM" "$1" "$2" >travel.out
jq -s --arg from "$start" --arg to "$end" '.[0] + .[1] + { replay: (($to | tonumber) - ($from | tonumber)) }' \
	info.json travel.out >"$OUT/travel.json"
cat travel.out

# Checkpoints while recording: with and without, in turns.
for round in 1 2 3; do
	for every in '' '--checkpoint-every 1'; do
		# shellcheck disable=SC2086 # none, or two words
		ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=mixed scale=${3:-4}" --mem 256M --record=again.log $every \
			--console none --stats stats.json </dev/null
		jq --arg every "$every" '{ every: $every, seconds, vm_exits: .counts.vm_exits }' stats.json >>recordings.json
		echo "round $round: $(jq .seconds stats.json) s $every"
	done
done
ls -l again.log.checkpoints

# What they take when much of the memory is a copy of a disk.
head -c 64M /dev/urandom >disk
ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=cached requests=1000" --mem 256M --disk disk --record=disk.log \
	--console none </dev/null
./travel disk.log >sizes.json
cat sizes.json
jq -s '.[0] + { recordings: .[1:-1], sizes: .[-1] }' "$OUT/travel.json" recordings.json sizes.json >all.json
mv all.json "$OUT/travel.json"
