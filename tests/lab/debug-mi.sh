# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0
#
# debug-mi.sh - a part of debug.sh: gdb's machine interface, which front ends and DAP adapters speak, forward and back.
#
# Uses: tiny.zst, $middle; address() of debug-model.sh

target=$(address guests/page-fault 'rep stos')
code=$(objdump -d --start-address="$target" guests/page-fault |
	sed -n 's/^ *[0-9a-f]*:\t\([0-9a-f ]*\)\t.*/\1/p' | head -n 1 | tr -d ' ')
when='-interpreter-exec console "monitor when"'
cat >mi.commands <<END
10-list-target-features
11-data-list-register-values x 16 7 0
12-exec-step-instruction
13-exec-step-instruction
14$when
15-exec-step-instruction --reverse
16-exec-next-instruction --reverse
17-data-list-register-values x 16 7 0
18$when
20-break-insert -h *$target
21-exec-continue
22$when
23-data-read-memory-bytes $target $((${#code} / 2))
24-exec-continue
25-exec-continue --reverse
26$when
27-break-delete 1
30-break-watch *(long*)0x$(nm guests/page-fault | awk '$3 == "faults" { print $1 }')
31-exec-continue --reverse
32$when
33-break-delete 2
40-exec-continue --reverse
41$when
99-gdb-exit
END
status=0
timeout 300 ttvm debug tiny.zst --to-instr "$middle" -- -nx -iex 'set charset ASCII' -i=mi guests/page-fault <mi.commands \
	>mi.out 2>&1 || status=$?
tr -d '\r' <mi.out >mi.gdb
verdict mi/session "$([ "$status" = 0 ] || echo "status $status: $(one_line mi.gdb)")"
says mi features '^10\^done,features=\[.*"reverse"'
says mi register '^11\^done,register-values=\[.*number="16",value="0x'
verdict mi/same "$([ "$(sed -n 's/^11^done,//p' mi.gdb)" = "$(sed -n 's/^17^done,//p' mi.gdb)" ] ||
	grep '^1[17]' mi.gdb | tr '\n' ' ')"
says mi breakpoint '^20\^done,bkpt=\{number="1",type="hw breakpoint"'
says mi memory "^23\\^done,memory=\\[\\{.*contents=\"$code\""
says mi watchpoint '^30\^done,wpt=\{number="2"'
# Of the commands that run, in their order. gdb 13 says that there is no more history as text only, later ones as a reason, too.
mapfile -t reasons < <(sed -n '1,/^11^/d; s/^\*stopped,reason="\([^"]*\)".*/\1/p; s/^\*stopped,frame.*/no-history/p' mi.gdb)
says mi no-history 'No more reverse-execution history'
verdict mi/stopped "$([ "${reasons[*]}" = "end-stepping-range end-stepping-range end-stepping-range end-stepping-range \
breakpoint-hit breakpoint-hit breakpoint-hit watchpoint-trigger no-history" ] || echo "${reasons[*]}")"
mapfile -t at < <(sed -n 's/^@"instruction \([0-9]*\),.*/\1/p' mi.gdb)
verdict mi/positions "$([ ${#at[@]} = 6 ] && [ "${at[0]}" = $((middle + 2)) ] && [ "${at[1]}" = "$middle" ] &&
	[ "${at[2]}" -gt "$middle" ] && [ "${at[3]}" = "${at[2]}" ] && [ "${at[4]}" -lt "${at[3]}" ] && [ "${at[5]}" = 0 ] ||
	echo "${at[*]}, from $middle")"
[ "$FAILED" = 0 ] || cp mi.gdb "$OUT/"
