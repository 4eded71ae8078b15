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
