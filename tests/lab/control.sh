#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# control.sh - in the test machine: a run is asked for its status, paused, resumed, marked and stopped through its control
# socket, recorded or not. A guest does not see a pause, and a recording with pauses and marks replays.
# And the console is a pty or stdin.
#
# Beside it: vmlinux, initrd, guests/serial-input.
#
# usage: control.sh

. ./lib.sh
socket=$PWD/control

# start NAME WORK OPTION...: a Linux guest in the background, past its boot when this returns.
start()
{
	local name=$1 work=$2 tries=0
	shift 2
	timeout 600 ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=$work scale=20" --mem 128M \
		--console "$name.console" --control "$socket" "$@" </dev/null 2>"$name.err" &
	run=$!
	until grep -q "work: $work scale" "$name.console" 2>/dev/null || [ $((tries++)) -ge 600 ]; do
		kill -0 $run 2>/dev/null || break
		sleep 0.2
	done
}

# value NAME LINE
value()
{
	sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" <<<"$2"
}

# Whole seconds of a status line, 0 without one.
seconds_of()
{
	local s
	s=$(value seconds "$1")
	echo $((10#$(cut -d. -f1 <<<"${s:-0}")))
}

# finish NAME: stop the run, which must end well.
finish()
{
	local status=0
	ttvm ctl "$socket" stop >"$1.stop" 2>&1
	wait $run || status=$?
	[ "$status" = 0 ] && grep -q 'stopped by `ttvm ctl`' "$1.err" && [ ! -e "$socket" ]
	verdict "$1/stop" "$([ $? = 0 ] || echo "status $status: $(one_line "$1.err") $(one_line "$1.stop")")"
}

# pauses NAME RECORDED: the guest stands still, and time with it.
pauses()
{
	local first second third
	first=$(ttvm ctl "$socket" pause 2>&1)
	sleep 3
	second=$(ttvm ctl "$socket" status 2>&1)
	third=$(ttvm ctl "$socket" resume 2>&1)
	# The log's bytes may still be written; an ordinary run's clock is read a little after it was stopped.
	[ "$(value state "$first")" = paused ] && [ "$(value state "$second")" = paused ] &&
		[ "$(value instr "$first")" = "$(value instr "$second")" ] &&
		awk -v a="$(value seconds "$first")" -v b="$(value seconds "$second")" 'BEGIN { exit !((a - b) ^ 2 < 0.01) }'
	verdict "$1/pause" "$([ $? = 0 ] || echo "$first -- $second")"
	[ "$(value state "$third")" = running ] && [ $(($(seconds_of "$third") - $(seconds_of "$first"))) -le 1 ]
	verdict "$1/resume" "$([ $? = 0 ] || echo "$first -- $third")"
	sleep 2
	third=$(ttvm ctl "$socket" status 2>&1)
	[ "$(seconds_of "$third")" -gt "$(seconds_of "$first")" ]
	verdict "$1/goes-on" "$([ $? = 0 ] || echo "$first -- $third")"
}

# marks NAME: three of them, one while it is paused; in $marked the second one's instruction.
marks()
{
	local why=
	ttvm ctl "$socket" mark first >"$1.marks" 2>&1 || why=first
	ttvm ctl "$socket" pause >/dev/null 2>&1
	ttvm ctl "$socket" mark second >>"$1.marks" 2>&1 || why=second
	marked=$(value instr "$(tail -n 1 "$1.marks")")
	ttvm ctl "$socket" resume >/dev/null 2>&1
	sleep 1
	ttvm ctl "$socket" mark third >>"$1.marks" 2>&1 || why=third
	verdict "$1/mark" "${why:+$why: $(one_line "$1.marks")}"
}

# replays NAME: the recording matches, and ends where the mark says.
replays()
{
	local status=0 at
	timeout 900 ttvm verify "$1.log" 2>"$1.verify" </dev/null || status=$?
	verdict "$1/verify" "$([ "$status" = 0 ] || one_line "$1.verify")"
	at=$(ttvm info "$1.log" --events --json | jq -r '.event_list[] | select(.name == "second") | .instructions')
	verdict "$1/listed" "$([ "$at" = "$marked" ] || echo "info says $at, ctl said $marked")"
	timeout 900 ttvm replay --quiet "$1.log" --to-mark second 2>"$1.to" </dev/null || status=$?
	[ "$status" = 0 ] && [ "$(field instr "$1.to")" = "$marked" ]
	verdict "$1/to-mark" "$([ $? = 0 ] || echo "not $marked: $(one_line "$1.to")")"
	[ "$FAILED" = 0 ] || cp -- "$1".* "$OUT/" 2>/dev/null
}

for work in idle compute; do
	start "$work" "$work" --record="$work.log"
	pauses "$work"
	marks "$work"
	finish "$work"
	replays "$work"
done

start live compute
pauses live
expect live/mark 1 'nowhere to put a mark' ttvm ctl "$socket" mark here
expect live/busy-socket 1 'another process listens there' ttvm run vmlinux --control "$socket" --console none
finish live

# open_pty NAME: the console of the run $run, in $pty.
open_pty()
{
	until pty=$(sed -n 's/.*the console is //p' "$1.err") && [ -n "$pty" ]; do
		kill -0 $run || break
		sleep 0.1
	done
}

# The console is a pty: somebody opens it and reads.
timeout 300 ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=boot" --mem 128M --console pty 2>pty.err &
run=$!
open_pty pty
timeout 120 cat "$pty" >pty.console 2>/dev/null
wait $run || true
verdict pty/output "$(grep -q 'work: boot done' pty.console || one_line pty.err)"

# Somebody types there, and through stdin; the guest echoes, and ends at a line "quit".
timeout 120 ttvm run guests/serial-input --console pty --record=typed.log 2>typed.err &
run=$!
open_pty typed
# In a process that leads no session: a terminal that it opens does not become its own, whose end would end it.
(
	exec 3<>"$pty"
	printf 'hello\rquit\r' >&3
	timeout 60 cat <&3
) >typed.console 2>/dev/null
wait $run || true
verdict pty/input "$(grep -q hello typed.console || echo "$(one_line typed.console) $(one_line typed.err)")"
expect pty/verify 0 verified ttvm verify typed.log

printf 'through a pipe\nquit\n' | timeout 120 ttvm run guests/serial-input --record=piped.log >piped.console 2>piped.err
verdict stdin/input "$(grep -q 'through a pipe' piped.console || echo "$(one_line piped.console) $(one_line piped.err)")"
timeout 120 ttvm replay piped.log >piped.again 2>piped.err </dev/null
verdict stdin/replay "$(cmp piped.console piped.again 2>&1 || one_line piped.err)"
