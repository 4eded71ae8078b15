# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0
#
# debug-linux.sh - a part of debug.sh: a Linux kernel by the names of its functions and variables: into a system call and
# back out of it, and who wrote a variable last.
#
# Uses: linux.zst, $length, symbols.list: lines of the guest's /proc/kallsyms

# What stands at an address is told as "NAME + OFFSET in section ...".
in_gdb linux linux.zst --to-instr $((length / 2)) --symbols symbols.list <<'END'
break *do_sys_openat2
continue
monitor when
delete
reverse-finish
monitor when
info symbol $pc
nexti
monitor when
info symbol $pc
reverse-nexti
monitor when
stepi
monitor when
backtrace 2
watch *(long *) &jiffies_64
reverse-continue
monitor when
info symbol $pc
printf "value %lx\n", *(long *) &jiffies_64
continue
monitor when
printf "value %lx\n", *(long *) &jiffies_64
END
mapfile -t at < <(positions linux)
mapfile -t place < <(sed -n 's/^\([a-z0-9_]*\)\( + [0-9]*\)\? in section .*/\1/p' linux.gdb)
says linux breakpoint '^Breakpoint 1, 0x[0-9a-f]* in do_sys_openat2 \(\)'
verdict linux/count "$([ ${#at[@]} = 7 ] && [ ${#place[@]} = 3 ] ||
	echo "${#at[@]} positions, ${#place[@]} places: $(one_line linux.gdb)")"
verdict linux/reverse-finish "$([ "${at[1]}" = $((at[0] - 1)) ] && [ "${place[0]}" = __x64_sys_openat ] ||
	echo "${place[0]} at ${at[1]} from ${at[0]}")"
verdict linux/nexti "$([ "${at[2]}" -gt "${at[0]}" ] && [ "${place[1]}" = __x64_sys_openat ] || echo "${place[1]} at ${at[2]}")"
verdict linux/reverse-nexti "$([ "${at[3]}" = "${at[1]}" ] && [ "${at[4]}" = "${at[0]}" ] || echo "${at[*]}")"
says linux caller '^#1 .* in __x64_sys_openat \(\)'
verdict linux/writer "$([ "${at[5]}" -lt "${at[0]}" ] && [ "${place[2]}" = tick_do_update_jiffies64 ] ||
	echo "${place[2]} at ${at[5]}")"
verdict linux/written "$([ "${at[6]}" = $((at[5] + 1)) ] &&
	[ "$(sed -n 's/^value //p' linux.gdb | sort -u | wc -l)" = 2 ] || echo "${at[*]} $(one_line linux.gdb)")"

# A list with a line that is none, and a file that is not there.
{ cat symbols.list && echo nonsense; } >damaged.list
expect symbols/damaged 1 'damaged.list: neither an ELF file nor a list of symbols \(line [0-9]+ ' \
	ttvm debug tiny.zst --symbols damaged.list -- -batch
expect symbols/missing 1 'missing.list: No such file' ttvm debug tiny.zst --symbols missing.list -- -batch
expect symbols/for-nobody 1 'no gdb is started, so --symbols is for nobody' \
	ttvm debug tiny.zst --symbols symbols.list --gdb ./socket
expect symbols/early 0 'symbols.list: the guest has not said yet where its kernel is' \
	ttvm debug tiny.zst --symbols symbols.list -- -batch
verdict symbols/tidy "$(find /tmp -name 'ttvm-debug.*' | head -n 1)"
