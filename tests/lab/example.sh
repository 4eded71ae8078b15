#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# example.sh - in the test machine: the example of docs/scripting.md, on a guest whose test has a race.
#
# Beside it: until-it-fails, vmlinux, flaky-initrd.

. ./lib.sh
mkdir kept

guest=(vmlinux --initrd flaky-initrd --append "$FAST_LINE rdinit=/flaky" --mem 128M)
status=0
timeout 900 ./until-it-fails '^TEST FAILED' 60 kept "${guest[@]}" >example.out 2>example.err || status=$?
cat example.out
verdict finds-it "$([ "$status" = 0 ] || echo "status $status: $(one_line example.out) $(one_line example.err)")"
at=$(sed -n 's/^failed in run [0-9]*, at instruction //p' example.out)
verdict keeps-it "$(grep -q '^TEST FAILED' kept/failure.console || one_line kept/failure.console)"
verdict tidy "$(cd kept && find . -name 'try*')"

# That is where it is: the message is not there yet, and soon after it is.
status=0
timeout 300 ttvm replay kept/failure.zst --to-instr "${at:-0}" >until.console 2>until.err </dev/null || status=$?
verdict position/before "$(if [ "$status" != 0 ]; then
	echo "status $status: $(one_line until.err)"
elif grep -q 'TEST FAILED' until.console; then
	echo "too late: $(one_line until.console)"
fi)"
timeout 300 ttvm replay kept/failure.zst --to-instr "$((${at:-0} + 200000))" >until.console 2>until.err </dev/null
verdict position/behind "$(grep -q 'TEST FAILED' until.console || echo "too early: $(one_line until.console)")"

status=0
timeout 300 ./until-it-fails '^no test says so' 2 kept "${guest[@]}" >never.out 2>never.err || status=$?
verdict never/status "$([ "$status" = 3 ] && grep -q '^no failure in 2 runs' never.out || echo "status $status: $(one_line never.err)")"
verdict never/tidy "$(cd kept && find . -name 'try*')"

# gdb's Python sees positions and moves; here it is the script.
cat >steps.py <<'END'
import gdb
def when():
    return int(gdb.execute("monitor when", to_string=True).split()[1].rstrip(","))
start = when()
gdb.execute("stepi", to_string=True)
forward = when()
gdb.execute("reverse-stepi", to_string=True)
print("steps", forward - start, when() - start)
END
timeout 300 ttvm debug kept/failure.zst --to-instr "${at:-0}" -- -q -batch -nx -iex 'set charset ASCII' -x steps.py >python.out 2>&1 </dev/null
verdict python "$(grep -q '^steps 1 0' python.out || one_line python.out)"
[ "$FAILED" = 0 ]
