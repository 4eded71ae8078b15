#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# debug.sh - in the test machine: gdb on recordings, forward and back.
#
# Beside it: its other parts, debug-*; guests, vmlinux, initrd.
#
# usage: debug.sh STEPS MIXES

. ./lib.sh
steps=$1 mixes=$2
# This system has no character sets but its own.
GDB=(-q -batch -nx -iex 'set charset ASCII' -iex 'set pagination off' -iex 'set confirm off')

# in_gdb NAME LOG [OPTION]...: gdb does what stands on stdin; its output in NAME.gdb.
in_gdb()
{
	local name=$1 log=$2 status=0
	shift 2
	cat >"$name.commands"
	timeout 600 ttvm debug "$log" "$@" -- "${GDB[@]}" -x "$name.commands" >"$name.gdb" 2>&1 </dev/null || status=$?
	verdict "$name/session" "$([ "$status" = 0 ] || echo "status $status: $(one_line "$name.gdb")")"
	[ "$status" = 0 ] || cp "$name".* "$OUT/"
}

# says NAME TEST PATTERN: in gdb's output there is such a line.
says()
{
	verdict "$1/$2" "$(grep -Eq -- "$3" "$1.gdb" || echo "no '$3' in: $(one_line "$1.gdb")")"
}

# positions NAME: the instruction numbers that `monitor when` has told, in order.
positions()
{
	sed -n 's/^instruction \([0-9]*\),.*/\1/p' "$1.gdb"
}

record()
{
	local log=$1
	shift
	timeout 400 ttvm run "$@" --record="$log" --console none </dev/null 2>rec.err
	grep -q '^ttvm: recorded' rec.err || { not_ok "record/$log" "$(one_line rec.err)"; exit 1; }
}

# ---- a tiny guest: steps, breakpoints, both ends ----

record tiny.zst guests/page-fault --mem 32M
length=$(field instr rec.err)
middle=$((length / 2))

{
	for ((i = 0; i < steps; i++)); do
		echo 'stepi'
		# shellcheck disable=SC2028
		echo 'printf "forward %lx %lx %lx\n", $pc, $rsp, $rax'
	done
	for ((i = 0; i < steps; i++)); do
		# shellcheck disable=SC2028
		echo 'printf "back %lx %lx %lx\n", $pc, $rsp, $rax'
		echo 'reverse-stepi'
	done
	echo 'monitor when'
} | in_gdb steps tiny.zst --to-instr "$middle"
verdict steps/same "$([ "$(sed -n 's/^forward //p' steps.gdb)" = "$(sed -n 's/^back //p' steps.gdb | tac)" ] &&
	[ "$(grep -c '^forward' steps.gdb)" = "$steps" ] || echo "other places on the way back")"
verdict steps/home "$([ "$(positions steps)" = "$middle" ] || echo "at $(positions steps) instead of $middle")"

in_gdb breaks tiny.zst --to-instr "$middle" <<'END'
set $start = $pc
hbreak *$start
continue
monitor when
continue
monitor when
reverse-continue
monitor when
reverse-continue
monitor when
delete
reverse-continue
monitor when
continue
monitor when
END
mapfile -t at < <(positions breaks)
verdict breaks/count "$([ ${#at[@]} = 6 ] || echo "${#at[@]} positions: $(one_line breaks.gdb)")"
verdict breaks/forward "$([ "$middle" -lt "${at[0]}" ] && [ "${at[0]}" -lt "${at[1]}" ] || echo "${at[*]}")"
verdict breaks/back "$([ "${at[2]}" = "${at[0]}" ] && [ "${at[3]}" = "$middle" ] || echo "${at[*]}")"
verdict breaks/ends "$([ "${at[4]}" = 0 ] && [ "${at[5]}" = "$length" ] || echo "${at[*]}")"
says breaks said '[Nn]o more reverse-execution history'

# An event that has an instruction of its own, and one that belongs to an exit and has been when the exit is over.
ttvm info --events tiny.zst >events 2>/dev/null
own=$(awk '/^[0-9]+ sync exits=/ { print $1; exit }' events)
exit=$(awk '/^[0-9]+ sync at-exit/ { print $1; exit }' events)
own_instr=$(sed -n "s/^$own .* instr=\([0-9]*\) .*/\1/p" events)

in_gdb refused tiny.zst <<END
monitor help
monitor goto $((length + 5))
monitor goto $middle
monitor seek-event $own
monitor events $own..$own
monitor seek-event $exit
monitor events $exit..$((exit + 1))
monitor events 99999999
monitor checkpoint
monitor disk
END
says refused goto-behind-the-end "the recording ends before, at instruction $length"
says refused goto "^instruction $middle,"
says refused seek-event "^instruction $own_instr,"
says refused events "^=> $own "
says refused event-of-exit "^=> $((exit + 1)) "
says refused no-such-events 'the recording has [0-9]* events'
says refused checkpoint '^[0-9]* checkpoints, '
timeout 100 ttvm debug tiny.zst -- "${GDB[@]}" -ex 'set var $rax = 5' -ex 'set var *(char *) $rsp = 5' >readonly.gdb 2>&1 </dev/null
says readonly register 'write register.*the past cannot be changed'
says readonly memory 'Cannot access memory'

# ---- Linux: a word that is written, found again from behind ----

# One that all of the guest's time writes to, in any process' address space; and more of its names.
printf '%s\n' 'mount -t proc proc /proc' \
	'grep -E " (_stext|do_sys_openat2|__x64_sys_openat|jiffies_64|tick_do_update_jiffies64)$" /proc/kallsyms' 'poweroff -f' |
	timeout 300 ttvm run vmlinux --initrd initrd --append "$FAST_LINE rdinit=/bin/sh" --mem 128M 2>/dev/null |
	tr -d '\r' | grep '^f[0-9a-f]\{15\} . [a-z0-9_]*$' >symbols.list
word=$(sed -n 's/^\([0-9a-f]\{16\}\) . jiffies_64$/0x\1/p' symbols.list)
verdict watch/symbol "$([ -n "$word" ] || echo "the guest does not say where jiffies_64 is")"
record linux.zst vmlinux --initrd initrd --append "$FAST_LINE work=mixed" --mem 256M
length=$(field instr rec.err)
in_gdb watch linux.zst --to-instr $((length / 2)) <<END
set \$word = $word
watch *(long *) \$word
continue
monitor when
printf "value %lx\n", *(long *) \$word
continue
monitor when
reverse-continue
monitor when
reverse-continue
monitor when
printf "before %lx\n", *(long *) \$word
stepi
printf "value %lx\n", *(long *) \$word
monitor console
END
mapfile -t at < <(positions watch)
verdict watch/count "$([ ${#at[@]} = 4 ] || echo "${#at[@]} positions: $(one_line watch.gdb)")"
verdict watch/back "$([ "${at[2]}" = $((at[1] - 1)) ] && [ "${at[3]}" = $((at[0] - 1)) ] || echo "${at[*]}")"
verdict watch/value "$([ "$(grep -c '^value' watch.gdb)" = 2 ] && [ "$(grep '^value' watch.gdb | sort -u | wc -l)" = 1 ] &&
	[ "$(sed -n 's/^value //p; s/^before //p' watch.gdb | sort -u | wc -l)" = 2 ] || one_line watch.gdb)"
says watch console 'work: mixed'

# ---- a server, and who comes to it ----

timeout 300 ttvm debug tiny.zst --gdb ./socket 2>server.err &
server=$!
until grep -q 'gdb can connect' server.err || ! kill -0 $server; do
	sleep 0.1
done
timeout 100 gdb "${GDB[@]}" -ex 'target remote ./socket' -ex 'stepi' -ex 'detach' >one.gdb 2>&1
timeout 100 gdb "${GDB[@]}" -ex 'target remote ./socket' -ex 'monitor when' -ex 'kill' >two.gdb 2>&1
says two stays '^instruction 1,'
status=0
wait $server || status=$?
verdict server/ends "$([ "$status" = 0 ] || echo "status $status: $(one_line server.err)")"
verdict server/tidy "$([ ! -e socket ] || echo "the socket is still there")"

# shellcheck source=tests/lab/debug-model.sh
. ./debug-model.sh
# shellcheck source=tests/lab/debug-mi.sh
. ./debug-mi.sh
# shellcheck source=tests/lab/debug-linux.sh
. ./debug-linux.sh
# shellcheck source=tests/lab/debug-client.sh
. ./debug-client.sh
[ "$FAILED" = 0 ]
