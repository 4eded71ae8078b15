#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# moment.sh - in the test machine: moments of a recording taken away: cores, a timeline.
#
# Beside it: guests, core-digest, vmlinuz, vmlinux (without symbols), initrd.
#
# usage: moment.sh

. ./lib.sh
# This system has no character sets but its own.
GDB=(gdb -q -batch -nx -iex 'set charset ASCII' -iex 'set pagination off' -iex 'set confirm off')

# ---- a Linux guest that says where its symbols are; its kernel is at a random place ----

line=${FAST_LINE/ nokaslr/}
printf '%s\n' 'mount -t proc proc /proc' \
	'grep -E -A1 " (_stext|linux_banner|chacha_permute|chacha_block_generic|jiffies_64)$" /proc/kallsyms' \
	'dd if=/dev/urandom of=/dev/null bs=1M count=8' 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done' 'sleep 1' \
	'poweroff -f' |
	timeout 400 ttvm run vmlinuz --initrd initrd --append "$line rdinit=/bin/sh" --mem 128M --record=linux.zst \
		>linux.console 2>rec.err
grep -q '^ttvm: recorded' rec.err || { not_ok record "$(one_line rec.err)"; exit 1; }
ok record
length=$(field instr rec.err)

# ---- cores ----

# dump N: the core core.N, what ttvm says about it in N.json, registers and digest of the replay in N.regs.
dump()
{
	timeout 400 ttvm dump linux.zst --to-instr "$1" -o "core.$1" --json >"$1.json" 2>"$1.err" </dev/null ||
		not_ok "dump/$1" "$(one_line "$1.err")"
	timeout 400 ttvm replay linux.zst --quiet --to-instr "$1" --regs --mem-digest >"$1.regs" 2>"$1.err" </dev/null ||
		not_ok "dump/$1" "$(one_line "$1.err")"
}

# look WHERE: commands by which gdb shows a machine, in words and in files WHERE.*.
look()
{
	cat <<-END
		info registers
		p \$xmm0.uint128
		x/2i \$rip
		x/4gx \$rsp
		dump binary memory $1.code (long)\$rip&~0xfff ((long)\$rip&~0xfff)+0x1000
		dump binary memory $1.stack (long)\$rsp&~0xfff ((long)\$rsp&~0xfff)+0x1000
		x/s &linux_banner
		x/gx &jiffies_64
		dump binary memory $1.text (long)&_stext (long)&_stext+0x40000
	END
}

# The registers that gdb's `info registers` and ttvm's --regs both show, as NAME=VALUE.
of_gdb()
{
	awk '$1 ~ /^(r[a-d]x|r[sd]i|r[bs]p|r[0-9]+|rip)$/ && $2 ~ /^0x/ { print $1 "=" substr("0000000000000000", 1, 18 - length($2)) substr($2, 3) }' "$1"
}
of_ttvm()
{
	grep -E '^(r[a-d]x|r[sd]i|r[bs]p|r[0-9]+|rip)=' "$1"
}

late=$((length * 19 / 20)) middle=$((length / 2))
dump $late
dump $middle
offset=$(jq -r .kernel_offset $late.json)
verdict dump/json "$(jq -e --argjson n $late '.instructions == $n and .stored_bytes > 10000000
	and .stored_bytes < 120000000 and .bytes > 134217728 and .mappings > 2 and .vmcoreinfo
	and (.osrelease | startswith("6."))' $late.json >/dev/null || one_line $late.json)"
verdict dump/kaslr "$([ $((16#$offset)) != 0 ] || echo "the kernel is where it was built for: nothing is tested")"
tr -d '\r' <linux.console | awk '$1 ~ /^ffffffff/ && NF == 3' >kallsyms
readelf -SW vmlinux | sed 's/\[ *//; s/\]//' | awk '$4 ~ /^ffffffff/ { print $2, $4, $6 }' >sections
symbols=()
while read -r address type name; do
	address=$((16#$address - 16#$offset))
	while read -r section begin size; do
		((address < 16#$begin || address >= 16#$begin + 16#$size)) ||
			symbols+=(--add-symbol "$name=$section:$((address - 16#$begin)),global,$([[ $type == [tT] ]] && echo function || echo object)")
	done <sections
done <kallsyms
objcopy "${symbols[@]}" vmlinux vmlinux.symbols
verdict dump/symbols "$([ ${#symbols[@]} -ge 10 ] || echo "${#symbols[@]}: $(one_line kallsyms)")"
# compare NAME N: gdb sees the same machine in the core and in the recording.
compare()
{
	local name=$1 n=$2 why part pattern
	look core >commands
	timeout 200 "${GDB[@]}" -iex 'set osabi GNU/Linux' -c "core.$n" -ex "add-symbol-file vmlinux.symbols -o 0x$offset" -x commands >core.gdb 2>&1 </dev/null
	look past >commands
	timeout 400 ttvm debug linux.zst --to-instr "$n" -- "${GDB[@]:1}" -ex "add-symbol-file vmlinux.symbols -o 0x$offset" \
		-x commands >past.gdb 2>&1 </dev/null
	verdict "$name/registers" "$([ "$(of_gdb core.gdb | sort)" = "$(of_ttvm "$n.regs" | sort)" ] && [ "$(of_gdb core.gdb | wc -l)" = 17 ] ||
		diff <(of_gdb core.gdb | sort) <(of_ttvm "$n.regs" | sort) | head -n 4 | tr '\n' ' ')"
	verdict "$name/memory" "$([ "$(./core-digest "core.$n")" = "$(grep '^memory=' "$n.regs")" ] || ./core-digest "core.$n" 2>&1)"
	why=
	for part in code stack text; do
		[ -s core.$part ] && cmp -s core.$part past.$part || why="$part differs or is not there: $(one_line core.gdb)"
	done
	verdict "$name/virtual-memory" "$why"
	why=
	for pattern in '^=>' '^gs_base' '^0x[0-9a-f]*:' '^\$1 = '; do
		[ "$(grep -E -- "$pattern" core.gdb)" = "$(grep -E -- "$pattern" past.gdb)" ] && grep -qE -- "$pattern" core.gdb ||
			why="$pattern: $(grep -E -m1 -- "$pattern" core.gdb) instead of $(grep -E -m1 -- "$pattern" past.gdb)"
	done
	verdict "$name/gdb" "$why"
	verdict "$name/banner" "$(grep -q ':.*"Linux version 6' core.gdb || one_line core.gdb)"
	[ "$FAILED" = 0 ] || cp core.gdb past.gdb "$OUT"
}

compare late $late
compare middle $middle
verdict dump/another-n-differs "$([ "$(./core-digest "core.$late")" != "$(./core-digest "core.$middle")" ] || echo "the same memory")"
[ "$FAILED" = 0 ] || cp -- *.json *.regs *.err kallsyms linux.console "$OUT"

# ---- a timeline ----

# timeline NAME JQ: is it so in NAME.perfetto? Entries are e, those of a track track("NAME").
timeline()
{
	jq -e --slurpfile info linux.info 'def e: .traceEvents[] | select(.ph != "M");
		([.traceEvents[] | select(.name == "thread_name") | { (.args.name): .tid }] | add) as $tids
		| def track($name): [e | select(.tid == $tids[$name])];
		$info[0] as $info | '"$2" "$1.perfetto" >/dev/null || echo "not so: $2"
}

ttvm info --json --events linux.zst >linux.info
timeout 400 ttvm trace linux.zst --perfetto replay.perfetto 2>trace.err </dev/null || not_ok trace/replay "$(one_line trace.err)"
ttvm trace linux.zst --perfetto log.perfetto --log-only 2>trace-log.err || not_ok trace/log-only "$(one_line trace-log.err)"
for name in replay log; do
	verdict "trace/$name/events" "$(timeline $name '[track("log")[] | .name | split(" ")[0]] == [$info.event_list[].kind]
		and [track("log")[].args.event] == [$info.event_list[].number]')"
	verdict "trace/$name/monotonic" "$(timeline $name '. as $all
		| all($tids[]; . as $tid | [$all.traceEvents[] | select(.ph != "M" and .tid == $tid).ts] | . == sort)')"
	verdict "trace/$name/instructions" "$(timeline $name '[track("log")[] | .args.instr // empty] | . == sort
		and (length > 10) and .[-1] == $info.instructions')"
done
# The replay knows the instruction of every event; where the log has it, too, it is the same.
verdict trace/replay/same-instructions "$(timeline replay '[track("log")[].args.instr] as $there
	| all($info.event_list[] | select(.instructions); .instructions == $there[.number])')"
verdict trace/replay/time "$(timeline replay '(track("log") | .[-1].ts / 1e6) as $seconds
	| $seconds >= $info.guest_seconds_at_least and $seconds < 2 * $info.guest_seconds_at_least + 10')"
verdict trace/replay/interrupts "$(timeline replay '(track("interrupts") | length) >=
	([$info.event_list[] | select(.vector)] | length)')"
verdict trace/replay/idle "$(timeline replay '([track("vCPU 0")[].dur] | add) > 0.9e6')" # `sleep 1`
verdict trace/replay/exits "$(timeline replay '[track("exits")[].args.exit] | . == [range(1; length + 1)]')"
jq -r '.traceEvents[] | select(.args.device == "serial0") | .name' replay.perfetto >console.lines
verdict trace/replay/console "$(tr -d '\r' <linux.console | cut -c1-199 | tr -c ' -~\n' '?' | grep . |
	diff - <(grep . console.lines) 2>&1 | head -n 3 | tr '\n' ' ')"
verdict trace/said "$([ "$(field events trace.err)" = "$(field events rec.err)" ] &&
	[ "$(field events trace-log.err)" = "$(field events rec.err)" ] || one_line trace.err)"
expect trace/full-disk 1 'small/trace: No space left' sh -c 'mkdir -p small; mount -t tmpfs -o size=64k small small
	ttvm trace linux.zst --log-only --perfetto small/trace; status=$?; umount small; exit $status'

# A disk that is too small, and then a file that must stay as it was.
mkdir -p small
mount -t tmpfs -o size=1M small small
echo before >small/core
expect dump/disk-full 1 'small/core: No space left on device' ttvm dump linux.zst --to-instr 1000000 -o small/core
verdict dump/unharmed "$([ "$(cat small/core)" = before ] && [ "$(ls small)" = core ] || ls -l small)"
expect dump/no-file 1 '/dev/full: not a regular file' ttvm dump linux.zst --to-instr 1000 -o /dev/full
expect dump/past-the-end 1 'the recording ends after' ttvm dump linux.zst --to-instr $((length + 1)) -o core
ttvm run guests/tight-loop --mem 32M --console none --record=tiny.zst 2>/dev/null </dev/null
expect dump/no-linux 0 'osrelease=- kernel-offset=-' ttvm dump tiny.zst -o core.tiny
[ "$FAILED" = 0 ]
