#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# emulator.sh - in the test machine: what its emulator once got wrong, and nothing else would notice at once.
#
# Beside it: fpu-loop, guests.
#
# usage: emulator.sh

. ./lib.sh

# One CPU enters and leaves a guest while the other one does nothing but load FPU state.
taskset 2 ./fpu-loop &
loop=$!
why=
for ((i = 0; i < 10; i++)); do
	status=0
	taskset 1 timeout 60 ttvm run guests/timer-storm --mem 32M --console none </dev/null 2>run.err || status=$?
	[ "$status" = 0 ] || why="run $i: status $status: $(one_line run.err)"
done
kill $loop
verdict world-switch-beside-fpu "$why"
[ "$FAILED" = 0 ]
