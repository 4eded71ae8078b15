#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# gdb.sh - in the test machine: gdb on a run that nobody records. A tiny guest for exact stepping, what users do wrong, and a
# Linux guest that is looked at and then finishes its work.
#
# Beside it: vmlinux (without symbols), initrd, guests.
#
# usage: gdb.sh

. ./lib.sh
ip link set lo up
socket=$PWD/gdb-socket
# This system has no character sets but its own.
GDB=(gdb -q -batch -nx -iex 'set charset ASCII' -iex 'set pagination off' -iex 'set confirm off')

# start NAME GUEST WHERE OPTION...: a guest that waits for gdb; its console in NAME.console.
start()
{
	local name=$1 guest=$2 where=$3 tries=0
	shift 3
	timeout 300 ttvm run "$guest" --console "$name.console" --gdb "$where" "$@" </dev/null 2>"$name.err" &
	run=$!
	until grep -q 'gdb can connect' "$name.err" 2>/dev/null || [ $((tries++)) -ge 300 ]; do
		kill -0 $run 2>/dev/null || break
		sleep 0.1
	done
}

# in_gdb NAME FILE: gdb does what stands on stdin; FILE is where symbols are. Its output in NAME.gdb.
in_gdb()
{
	local where
	where=$(sed -n 's/.*target remote \([^;]*\).*/\1/p' "$1.err")
	{ echo "target remote $where"; cat; } >"$1.commands"
	timeout 200 "${GDB[@]}" -x "$1.commands" "$2" >"$1.gdb" 2>&1 </dev/null
}

# ends NAME STATUS WORDS: the guest's run, and what it must have printed.
ends()
{
	local status=0
	wait $run || status=$?
	[ "$status" = "$2" ] && grep -q "$3" "$1.console"
	verdict "$1/ends" "$([ $? = 0 ] || echo "status $status: $(one_line "$1.err") $(one_line "$1.console")")"
	[ "$FAILED" = 0 ] || cp -- "$1".* "$OUT/" 2>/dev/null
}

# says NAME TEST PATTERN: in gdb's output there is such a line.
says()
{
	verdict "$1/$2" "$(grep -Eq -- "$3" "$1.gdb" || echo "no '$3' in: $(one_line "$1.gdb")")"
}

# rude PORT
rude()
{
	# Half a packet, a wrong checksum, an oversized one, an endless one; then it hangs up.
	exec 3<>"/dev/tcp/127.0.0.1/$1" || return
	{
		printf '$qC#00$m0'
		printf '\003\003$$$$#zz+++---'
		printf '$%20000d#00' 0
		head -c 100000 /dev/urandom
	} >&3 2>/dev/null
	exec 3>&-
}

# ---- single steps, exact ----

# steps COUNT: gdb commands that say where COUNT single steps lead.
steps()
{
	local i
	for ((i = 0; i < $1; i++)); do
		echo 'stepi'
		echo 'printf "at %lx\n", $pc'
	done
}

# addresses FILE SYMBOL[+OFFSET]...
addresses()
{
	local file=$1 at
	shift
	for at in "$@"; do
		[[ $at == *+* ]] || at+=+0
		printf '%x ' $((16#$(nm "$file" | awk -v s="${at%+*}" '$3 == s { print $1 }') + ${at#*+}))
	done
}

# landed NAME TEST SYMBOL...: between the lines "begin TEST" and "end TEST", in order, `steps` led to these symbols.
landed()
{
	local name=$1 test=$2 got want
	shift 2
	want=$(addresses "guests/$name" "$@")
	got=$(sed -n "/^begin $test$/,/^end $test$/s/^at //p" "$name.gdb" | tr '\n' ' ')
	verdict "$name/$test" "$([ -n "$want" ] && [ "$got" = "$want" ] || echo "$got instead of $want")"
}

start stepping guests/stepping "$socket" --gdb-wait --guest-status --mem 64M
{
	echo 'hbreak step_0'
	echo 'continue'
	for round in 1 2; do
		echo "echo begin round-$round\\n"
		steps 12
		echo "echo end round-$round\\n"
		echo "echo begin syscall-$round\\n"
		steps 1
		echo "echo end syscall-$round\\n"
		echo 'tbreak step_13'
		echo 'continue'
		echo "echo begin int3-$round\\n"
		steps 1
		echo "echo end int3-$round\\n"
		echo 'tbreak step_14'
		echo 'continue'
		echo 'delete'
		echo 'hbreak halt_1'
		echo 'continue'
		echo 'delete'
		echo "echo begin halt-$round\\n"
		steps 2
		echo "echo end halt-$round\\n"
		echo 'hbreak step_0'
		echo 'continue'
	done
	echo 'watch rounds'
	echo 'rwatch rounds'
	echo 'continue'
	echo 'hbreak step_3'
	echo 'hbreak step_4'
	echo 'continue'
	echo 'delete'
	echo 'detach'
} | in_gdb stepping guests/stepping
for round in 1 2; do
	landed stepping round-$round step_1 step_2 step_3 step_4 step_5 step_6 step_7 step_8 step_9 step_10 step_11 step_12
	landed stepping syscall-$round syscall_entry
	landed stepping int3-$round vector_entries+48
	landed stepping halt-$round halt_2 halt_3
done
says stepping watchpoint 'atchpoint [0-9]+: rounds'
says stepping fifth-refused 'ould not insert|annot insert'
ends stepping 0 'stepping: checksum'

# ---- everything that there is to look at ----

start tour guests/tight-loop 0 --gdb-wait --guest-status --mem 64M
in_gdb tour guests/tight-loop <<'EOF'
info registers rip cr0
hbreak counting_register
continue
bt
info registers
info all-registers
x/2gx $rsp
watch counter
continue
p counter
delete
set var counter = 1000
p counter
p $rbx = 0x1234
p $rbx
p $xmm3.uint128 = 77
p $xmm3.uint128
p $lstar = 0x4321
p $lstar
monitor help
monitor when
monitor phys 0x100010 8
monitor nonsense
reverse-stepi
kill
EOF
says tour real-mode-entry '^cr0 .*\[ PE '
says tour backtrace '^#1 .* guest_main'
says tour system-registers '^cr4 .*\[ PAE '
says tour msr '^apic_base +0xfee00900'
says tour sse '^mxcsr .*\[ IM DM ZM OM UM PM \]'
says tour watch 'New value = 1$'
says tour memory-written '^\$2 = 1000'
says tour register-written '^\$4 = 4660'
says tour sse-written '^\$6 = 77'
says tour msr-written '^\$8 = 17185'
says tour monitor-help 'monitor phys'
says tour monitor-when 'when: not for a live run'
says tour monitor-phys '^0000000000100010: ([0-9a-f]{2} ?){8}$'
says tour monitor-nonsense "'nonsense' is not a command"
says tour no-way-back 'does not support this command|cannot go back'
ends tour 0 ''

# ---- AVX; a range of memory; the user's pause beside the debugger's; going on elsewhere ----

if ttvm run guests/tight-loop --cpu-model x86-64-v3 --mem 64M --console none >v3.err 2>&1 </dev/null; then
	start avx guests/tight-loop "$socket" --gdb-wait --guest-status --mem 64M --cpu-model x86-64-v3 --control "$PWD/control"
	in_gdb avx guests/tight-loop <<'EOF'
hbreak counting_register
continue
delete
p $ymm2.v8_int32[5] = 77
stepi
p $ymm2.v8_int32
shell ttvm ctl control pause
shell ttvm ctl control resume
shell ttvm ctl control status
watch *(long (*)[3]) &counter
continue
delete
p counter
p $cr8 = 9
p $cr8
p $cr8 = 0
p/x $dr7
p $rip = guest_fail
detach
EOF
	says avx register '^\$2 = \{0, 0, 0, 0, 0, 77, 0, 0\}'
	verdict avx/pause "$([ "$(grep -c '^state=paused' avx.gdb)" = 3 ] || grep -m1 '^state' avx.gdb)"
	says avx range 'New value = \{1, 0, 0\}'
	says avx cr8 '^\$5 = 9'
	says avx dr7 '^\$7 = 0x400' # the guest's own
	ends avx 1 'tight-loop: FAILED'
else
	skipped avx "$(one_line v3.err)"
fi

# ---- a second client; garbage; a client that goes away ----

start rude guests/hlt-idle "$socket" --gdb-wait --guest-status --mem 64M
in_gdb rude guests/hlt-idle <<'EOF'
p $rip
detach
EOF
says rude first '^\$1 = '
ends rude 0 'hlt-idle: checksum'

start garbage guests/hlt-idle 0 --gdb-wait --guest-status --mem 64M
port=$(sed -n 's/.*target remote 127.0.0.1:\([0-9]*\).*/\1/p' garbage.err)
(rude "$port")
exec 4<>"/dev/tcp/127.0.0.1/$port"
printf '+$?#3f' >&4
read -r -t 20 -n 17 -u 4 first
verdict garbage/session "$([[ $first == *T05* ]] || echo "the next client got '$first'")"
echo 'p $rip' | in_gdb garbage-second guests/hlt-idle 2>/dev/null
cp garbage.err garbage-second.err
echo 'p $rip' | in_gdb garbage-second guests/hlt-idle
says garbage-second refused 'another debugger is connected'
exec 4>&-
echo 'detach' | in_gdb garbage guests/hlt-idle
ends garbage 0 'hlt-idle: checksum'

# ---- the guest ends under gdb ----

start ending guests/hlt-idle "$socket" --gdb-wait --guest-status --mem 64M
in_gdb ending guests/hlt-idle <<'EOF'
continue
EOF
says ending exited 'exited normally'
ends ending 0 'hlt-idle: checksum'

# ---- Linux ----

# A few of its symbols, from its own /proc/kallsyms, added to the file.
printf '%s\n' 'mount -t proc proc /proc' \
	'grep -E " (start_kernel|do_sys_openat2|__x64_sys_openat|jiffies_64|tick_do_update_jiffies64)$" /proc/kallsyms' \
	'poweroff -f' |
	timeout 300 ttvm run vmlinux --initrd initrd --append "$FAST_LINE rdinit=/bin/sh" --mem 128M >symbols.console 2>symbols.err
readelf -SW vmlinux | sed 's/\[ *//; s/\]//' |
	awk '$4 ~ /^ffffffff/ { print "S", $4, $6, $2 }' >sections
tr -d '\r' <symbols.console | awk '$1 ~ /^ffffffff/ && NF == 3 { print "A", $1, $2, $3 }' >addresses
mapfile -t symbols < <(awk '
	function low(text,  i, v) {
		text = substr(text, length(text) - 7)
		for (i = 1; i <= length(text); i++)
			v = v * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
		return v
	}
	$1 == "S" { begin[NR] = low($2); size[NR] = low("00000000" $3); name[NR] = $4 }
	$1 == "A" {
		for (i in begin)
			if (low($2) >= begin[i] && low($2) < begin[i] + size[i])
				printf "--add-symbol\n%s=%s:%d,global,%s\n", $4, name[i], low($2) - begin[i],
					$3 ~ /[tT]/ ? "function" : "object"
	}' sections addresses)
objcopy "${symbols[@]}" vmlinux vmlinux.symbols
verdict linux/symbols "$([ ${#symbols[@]} = 10 ] || echo "${#symbols[@]}: $(one_line symbols.console)")"

start linux vmlinux "$socket" --gdb-wait --initrd initrd --append "$FAST_LINE work=mixed" --mem 128M
in_gdb linux vmlinux.symbols <<'EOF'
hbreak start_kernel
continue
info registers
delete
break do_sys_openat2
continue
bt 2
x/4gx $rsp
info symbol $pc
stepi
stepi
nexti
delete
watch *(unsigned long *) &jiffies_64
continue
continue
delete
detach
EOF
says linux start_kernel 'Breakpoint 1, .* start_kernel'
says linux long-mode '^efer .*\[ SCE LME LMA NXE \]'
says linux breakpoint 'Breakpoint 2, .* do_sys_openat2'
says linux backtrace '^#1 .* __x64_sys_openat'
says linux memory '^0xff.*:[[:space:]]0xffffffff8'
says linux steps '^0x[0-9a-f]+ in do_sys_openat2 \(\)'
says linux watch '^0x[0-9a-f]+ in tick_do_update_jiffies64'
ends linux 0 'work: mixed done'

# Ctrl-C is SIGINT to gdb, while the guest computes.
start interrupt vmlinux "$socket" --initrd initrd --append "$FAST_LINE work=compute scale=4" --mem 128M
where=$(sed -n 's/.*target remote \([^;]*\).*/\1/p' interrupt.err)
printf '%s\n' "target remote $where" 'continue' 'info registers rip' 'detach' >interrupt.commands
"${GDB[@]}" -x interrupt.commands vmlinux.symbols >interrupt.gdb 2>&1 </dev/null &
gdb=$!
for ((i = 0; i < 600; i++)); do
	grep -q 'work: compute scale' interrupt.console 2>/dev/null && break
	sleep 0.1
done
sleep 1
kill -INT $gdb
wait $gdb || true
says interrupt stopped 'received signal SIGINT'
says interrupt rip '^rip +0x'
ends interrupt 0 'work: compute done'
[ "$FAILED" = 0 ]
