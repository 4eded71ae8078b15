#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# watch.sh - in the test machine: ranges of memory that are watched in recordings of tiny guests, by debug registers and by
# guarding pages (watch.c), and by gdb.
#
# usage: watch.sh PLACES AREA
#
# AREA is the address of watched_area in guests/watched. Beside it: watch, guests.

. ./lib.sh
places=$1 area=0x$2

record()
{
	local log=$1
	shift
	timeout 400 ttvm run "$@" --record="$log" --console none </dev/null 2>rec.err
	grep -q '^ttvm: recorded' rec.err || { not_ok "record/$log" "$(one_line rec.err)"; exit 1; }
}

# explore NAME LOG PLACES [ADDRESS]...
explore()
{
	local status=0 name=$1 log=$2
	shift 2
	timeout 600 ./watch "$log" "$RANDOM" "$@" >watch.out 2>&1 || status=$?
	sed "s,^\(ok\|not ok\) ,&$name/," watch.out
	[ "$status" = 0 ] || { cp "$log" "$OUT/$name.log"; cp watch.out "$OUT/$name.out"; }
	[ "$status" -le 1 ] || not_ok "$name" "status $status: $(one_line watch.out)"
}

record watched.log guests/watched --mem 32M
# Where devices' data, strings, operands across pages, and the frames of both stacks go.
explore operands watched.log $((places * 5)) $((area + 2048)) $((area + 3072)) $((area + 4096)) $((area + 5096)) $((area + 3900))
explore stack watched.log $(((places + 1) / 2))
record faults.log guests/page-fault --mem 32M
explore faults faults.log $(((places + 1) / 2))

# ---- gdb watches 4 KiB ----

cat >array.commands <<END
watch *(char (*)[4096]) $area
continue
monitor when
continue
monitor when
reverse-continue
monitor when
reverse-continue
monitor when
END
status=0
timeout 300 ttvm debug watched.log -- -q -batch -nx -iex 'set charset ASCII' -iex 'set pagination off' -x array.commands \
	>array.gdb 2>&1 </dev/null || status=$?
verdict array/session "$([ "$status" = 0 ] || echo "status $status: $(one_line array.gdb)")"
mapfile -t at < <(sed -n 's/^instruction \([0-9]*\),.*/\1/p' array.gdb)
verdict array/kind "$(grep -q '^Hardware watchpoint 1: ' array.gdb || one_line array.gdb)"
verdict array/forward "$([ ${#at[@]} = 4 ] && [ "${at[0]}" -lt "${at[1]}" ] || echo "${at[*]}: $(one_line array.gdb)")"
verdict array/back "$([ "${at[2]}" = $((at[1] - 1)) ] && [ "${at[3]}" = $((at[0] - 1)) ] || echo "${at[*]}")"
[ "$FAILED" = 0 ]
