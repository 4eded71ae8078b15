#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# moment.sh - in the test machine: moments of a recording taken away: cores, a timeline, profiles.
#
# Beside it: guests, core-digest, vmlinuz, vmlinux (without symbols), initrd.
#
# usage: moment.sh

. ./lib.sh
# This system has no character sets but its own.
GDB=(gdb -q -batch -nx -iex 'set charset ASCII' -iex 'set pagination off' -iex 'set confirm off')

# ---- a Linux guest that says where its symbols are; its kernel is at a random place ----

line=${FAST_LINE/ nokaslr/}
truncate -s 4M disk
printf '%s\n' 'mount -t proc proc /proc' 'mount -t devtmpfs dev /dev' \
	'grep -F -A1 -e " _stext" -e " linux_banner" -e " chacha_permute" -e " chacha_block_generic" /proc/kallsyms' \
	'echo begin-$((1+1))' 'dd if=/dev/urandom of=/dev/null bs=1M count=4' 'echo end-$((1+1))' \
	'insmod /lib/modules/virtio_blk.ko' 'guest-disk randread 50 /dev/vda' 'guest-disk fsync 20 /dev/vda' \
	'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done' 'sleep 1' 'poweroff -f' |
	timeout 400 ttvm run vmlinuz --initrd initrd --append "$line rdinit=/bin/sh" --mem 128M --disk disk --record=linux.zst \
		>linux.console 2>rec.err
grep -q '^ttvm: recorded' rec.err || { not_ok record "$(one_line rec.err)"; exit 1; }
ok record
length=$(field instr rec.err)

# ---- cores ----

# dump N: the core core.N, and what ttvm says about it in N.json.
dump()
{
	timeout 400 ttvm dump linux.zst --to-instr "$1" -o "core.$1" --json >"$1.json" 2>"$1.err" </dev/null ||
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
		dump binary memory $1.text (long)&_stext (long)&_stext+0x40000
	END
}

# The registers that both of them show, as NAME=VALUE: gdb's `info registers`, ttvm's --regs.
names='r[a-d]x|r[sd]i|r[bs]p|r[0-9]+|rip'
of_gdb()
{
	awk -v names="^($names)$" '$1 ~ names && $2 ~ /^0x/ {
		print $1 "=" substr("0000000000000000", 1, 18 - length($2)) substr($2, 3) }' "$1" | sort
}
of_ttvm()
{
	grep -E "^($names)=" "$1" | sort
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
	address=$((16#$address - 16#$offset)) kind=object
	[[ $type != [tT] ]] || kind=function
	while read -r section begin size; do
		((address < 16#$begin || address >= 16#$begin + 16#$size)) ||
			symbols+=(--add-symbol "$name=$section:$((address - 16#$begin)),global,$kind")
	done <sections
done <kallsyms
objcopy "${symbols[@]}" vmlinux vmlinux.symbols
verdict dump/symbols "$([ ${#symbols[@]} -ge 10 ] || echo "${#symbols[@]}: $(one_line kallsyms)")"

# gdb sees the same machine in the core and in the recording.
add="add-symbol-file vmlinux.symbols -o 0x$offset"
look core >core.commands
timeout 200 "${GDB[@]}" -c "core.$late" -ex "$add" -x core.commands >core.gdb 2>&1 </dev/null
look past >past.commands
timeout 400 ttvm debug linux.zst --to-instr "$late" -- "${GDB[@]:1}" -ex "$add" -x past.commands >past.gdb 2>&1 </dev/null
timeout 400 ttvm replay linux.zst --quiet --to-instr "$late" --regs --mem-digest >regs 2>regs.err </dev/null
verdict core/registers "$([ "$(of_gdb core.gdb | wc -l)" = 17 ] || one_line core.gdb
	diff <(of_gdb core.gdb) <(of_ttvm regs) | head -n 4 | tr '\n' ' ')"
./core-digest "core.$late" >core.digest 2>&1
verdict core/memory "$([ "$(cat core.digest)" = "$(grep '^memory=' regs)" ] || one_line core.digest)"
for part in code stack text; do
	verdict "core/virtual-memory/$part" "$([ -s core.$part ] && cmp core.$part past.$part 2>&1 || one_line core.gdb)"
done
for pattern in 'instruction ^=>' 'flags ^eflags' 'segments ^[cs]s ' 'words ^0x[0-9a-f]*:' 'sse ^\$1 = '; do
	name=${pattern%% *} pattern=${pattern#* }
	grep -E -- "$pattern" core.gdb >core.lines
	verdict "core/$name" "$([ -s core.lines ] || one_line core.gdb
		grep -E -- "$pattern" past.gdb | diff core.lines - | head -n 4 | tr '\n' ' ')"
done
verdict core/banner "$(grep -q ':.*"Linux version 6' core.gdb || one_line core.gdb)"
./core-digest "core.$middle" >middle.digest 2>&1
verdict core/another-n-differs "$(grep -q '^memory=' middle.digest || one_line middle.digest; cmp -s core.digest middle.digest &&
	echo "the same memory")"
[ "$FAILED" = 0 ] || cp -- *.gdb *.json *.digest regs *.err kallsyms linux.console "$OUT"

# ---- a timeline ----

ttvm info --json --events linux.zst >linux.info
ttvm disk log disk --json >disk.info
timeout 400 ttvm trace linux.zst --perfetto replay.perfetto 2>trace.err </dev/null ||
	not_ok trace/replay "$(one_line trace.err)"
ttvm trace linux.zst --perfetto log.perfetto --log-only 2>trace-log.err ||
	not_ok trace/log-only "$(one_line trace-log.err)"

# What must be true of a timeline: of any, and of one that a replay has made. All at once, because jq is slow here.
# track(NAME) are its entries.
common='{
	events: ([track("log")[].name | split(" ")[0]] == [$info.event_list[].kind]
		and [track("log")[].args.event] == [$info.event_list[].number]),
	monotonic: all($tids[]; . as $tid | [$all[] | select(.tid == $tid).ts] | . == sort),
	instructions: ([track("log")[].args.instr // empty] | . == sort and length > 10 and .[-1] == $info.instructions)
}'
# The replay knows the instruction of every event; where the log has it, too, it is the same. The disk's history knows that
# of each flush. The guest has slept for a second.
replay='{
	"same-instructions": ([track("log")[].args.instr] as $there
		| all($info.event_list[] | select(.instructions); .instructions == $there[.number])),
	time: (track("log")[-1:][0].ts / 1e6 | . >= $info.guest_seconds_at_least
		and . < 2 * $info.guest_seconds_at_least + 10),
	interrupts: ((track("interrupts") | length) >= ([$info.event_list[] | select(.vector)] | length)),
	idle: (([track("vCPU 0")[].dur] | add) > 0.9e6),
	exits: ([track("exits")[].args.exit] | . == [range(1; length + 1)]),
	reads: ([track("disk 0")[] | select(.name == "read" and .args.bytes == 4096)] | length >= 50),
	writes: ([track("disk 0")[] | select(.name == "write" and .args.bytes == 4096)] | length >= 20),
	flushes: ([$disk[][].instr | select(. != null and . > 0)] | length >= 5
		and . - [track("disk 0")[] | select(.name == "flush") | .args.instr] == [])
}'
# timeline NAME CHECKS
timeline()
{
	jq -r --slurpfile infos linux.info --slurpfile disk disk.info '$infos[0] as $info
		| [.traceEvents[] | select(.ph != "M")] as $all
		| ([.traceEvents[] | select(.name == "thread_name") | { (.args.name): .tid }] | add) as $tids
		| def track($name): [$all[] | select(.tid == $tids[$name])];
		'"$2"' | to_entries[] | "\(.key) \(.value)"' "$1.perfetto" >checked 2>jq.err || not_ok "trace/$1" "$(one_line jq.err)"
	while read -r name value; do
		verdict "trace/$1/$name" "$([ "$value" = true ] || echo "it is not so")"
	done <checked
}
timeline log "$common"
timeline replay "$common + $replay"
jq -r '.traceEvents[] | select(.args.device == "serial0") | .name' replay.perfetto >console.lines
verdict trace/replay/console "$(tr -d '\r' <linux.console | cut -c1-199 | tr -c ' -~\n' '?' | grep . |
	diff - <(grep . console.lines) 2>&1 | head -n 3 | tr '\n' ' ')"
verdict trace/said "$([ "$(field events trace.err)" = "$(field events rec.err)" ] &&
	[ "$(field events trace-log.err)" = "$(field events rec.err)" ] || one_line trace.err)"
expect trace/full-disk 1 'small/trace: No space left' sh -c 'mkdir -p small; mount -t tmpfs -o size=64k small small
	ttvm trace linux.zst --log-only --perfetto small/trace; status=$?; umount small; exit $status'

# ---- a profile ----

# From a timeline to a profile: what the guest does between two lines of its console.
read -r begin end < <(jq -r '[.traceEvents[] | select(.args.device == "serial0")] as $lines
	| [("begin-2", "end-2") as $mark | first($lines[] | select(.name | endswith($mark)) | .args.instr)] | @tsv' replay.perfetto)
every=$(((end - begin) / 100 + 1))
for run in one two; do
	file=kallsyms
	[ $run = one ] || file=vmlinux.symbols
	timeout 400 ttvm profile linux.zst --to-instr "$begin..$end" --every $every --symbols $file -o $run.folded \
		2>profile.err </dev/null || not_ok profile/$run "$(one_line profile.err)"
done
cat profile.err
# share FILE PATTERN: percent of the samples, -1 when there are none.
share()
{
	awk -v pattern="$2" '{ n += $NF } $0 ~ pattern { found += $NF } END { print n ? int(100 * found / n) : -1 }' "$1"
}
# The last stretch is shorter, and its sample may lie behind it.
verdict profile/samples "$([ $(($(field samples profile.err) / 99)) = 1 ] &&
	[ "$(awk '{ n += $NF } END { print n }' one.folded)" = "$(field samples profile.err)" ] || one_line profile.err)"
found=$(share one.folded '^kernel;chacha_(permute|block_generic) ')
verdict profile/known-function "$([ "${found:--1}" -ge 60 ] || echo "$found %: $(sort -t' ' -k2nr one.folded | head -n 4)")"
# The ELF file has the addresses before KASLR, the guest's own list those after it.
verdict profile/kaslr "$(diff one.folded two.folded 2>&1 | head -n 4 | tr '\n' ' ')"
verdict profile/folded "$([ -s one.folded ] && ! grep -vE '^(kernel|user;cr3 0x[0-9a-f]+)(;[^; ]+)+ [0-9]+$' one.folded ||
	one_line one.folded)"

# A disk that is too small, and then a file that must stay as it was.
mkdir -p small
mount -t tmpfs -o size=1M small small
echo before >small/core
expect dump/disk-full 1 'small/core: No space left on device' ttvm dump linux.zst --to-instr 1000000 -o small/core
verdict dump/unharmed "$([ "$(cat small/core)" = before ] && [ "$(ls small)" = core ] || ls -l small)"
expect dump/no-file 1 '/dev/full: not a regular file' ttvm dump linux.zst --to-instr 1000 -o /dev/full
expect dump/past-the-end 1 'the recording ends after' ttvm dump linux.zst --to-instr $((length + 1)) -o core
ttvm run guests/tight-loop --mem 32M --console none --record=tiny.zst 2>/dev/null </dev/null
for run in one two; do
	timeout 200 ttvm profile tiny.zst --symbols guests/tight-loop --call-graph fp --every 200000 -o tiny.$run \
		2>tiny.err </dev/null || not_ok profile/tiny "$(one_line tiny.err)"
done
cat tiny.err tiny.one
verdict profile/deterministic "$(cmp tiny.one tiny.two 2>&1)"
for function in counting_register counting_memory loop_instruction recursion; do
	n=$(share tiny.one ";$function ")
	verdict profile/$function "$([ "$n" -ge 1 ] || echo "$n % of the samples")"
done
n=$(share tiny.one ';(counting_register|counting_memory|loop_instruction|recursion) ')
verdict profile/all-functions "$([ "$n" -ge 90 ] || echo "only $n % of the samples")"
expect profile/default-every 0 'every=1001 samples=(999|1000) ' ttvm profile tiny.zst --to-instr 5000000..6000000 -o tiny.more
verdict profile/no-names "$(grep -q '^kernel;0x[0-9a-f]* [0-9]*$' tiny.more || one_line tiny.more)"
expect profile/past-the-end 1 'the recording ends after' ttvm profile tiny.zst --to-instr 99999999999..
expect profile/no-symbols 1 'neither an ELF file nor a list' ttvm profile tiny.zst --symbols tiny.zst
expect dump/no-linux 0 'osrelease=- kernel-offset=-' ttvm dump tiny.zst -o core.tiny
[ "$FAILED" = 0 ]
