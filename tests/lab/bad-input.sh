#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# bad-input.sh - in the test machine: what users get wrong has a clear message and its own exit status, and whatever
# happens to a recorder, what it wrote can be replayed.
#
# usage: bad-input.sh

. ./lib.sh

# ---- the guest ----

echo 'this is no kernel, it is a poem' >poem
head -c 1000000 /dev/urandom >noise
: >empty
head -c 20000000 vmlinux >cut.elf
expect guest/none 1 'no guest given' ttvm run
expect guest/missing 1 'nowhere.*No such file' ttvm run nowhere
expect guest/folder 1 'guests' ttvm run guests
expect guest/text 1 'poem: neither a kernel' ttvm run poem
expect guest/noise 1 'noise: neither a kernel' ttvm run noise
head -c 1048576 /dev/urandom >sectors
expect guest/no-boot-sector 1 'sectors: not a kernel, and not a disk that boots' ttvm run sectors
expect guest/empty 1 'empty' ttvm run empty
expect guest/truncated 1 'cut' ttvm run cut.elf
expect guest/initrd-missing 1 'nowhere.*No such file' ttvm run vmlinux --initrd nowhere
expect guest/memory-too-small 1 'mem' ttvm run vmlinux --mem 16M
expect guest/initrd-too-large 1 'mem' ttvm run vmlinux --initrd vmlinux --mem 64M
expect guest/memory-no-size 1 'not a size' ttvm run vmlinux --mem lots
expect guest/memory-of-nobody 1 'mem' ttvm run vmlinux --mem 4K
expect guest/one-only 1 'one guest only' ttvm run vmlinux vmlinux
expect guest/option 1 '--help' ttvm run vmlinux --no-such-option
# An ELF whose only segment is larger than memory.
cp guests/rep huge
printf '\x00\x00\x00\x00\x01\x00\x00\x00' | dd of=huge bs=1 seek=$((0x40 + 0x28)) conv=notrunc status=none
expect guest/oversized 1 'huge' ttvm run huge --mem 64M

# ---- the log ----

ttvm run guests/rep --mem 32M --record=good.log --quiet --console none </dev/null
expect log/good 0 '^ttvm: verified' ttvm verify good.log
expect log/missing 1 'nowhere.*No such file' ttvm replay nowhere
expect log/none 1 'one log' ttvm replay
expect log/folder 4 'guests' ttvm replay guests
expect log/text 4 'poem.*not a' ttvm replay poem
expect log/empty 4 'empty' ttvm replay empty
size=$(stat -c %s good.log)
for at in 1 7 29 64 300 $((size / 2)); do
	head -c "$at" good.log >bad.log
	expect "log/truncated-at-$at" 4 'bad.log' ttvm replay bad.log
done
# In the events or behind them: what is whole is replayed; verify tells that the end is missing.
for less in 1 30 200; do
	head -c $((size - less)) good.log >bad.log
	expect "log/truncated-by-$less" 0 'bad.log' ttvm replay --quiet bad.log
	expect "log/truncated-by-$less-verify" 4 'bad.log' ttvm verify bad.log
done
./log-tamper good.log bad.log version
expect log/other-version 4 'version 2' ttvm replay bad.log
./log-tamper good.log bad.log cpuid
expect log/unknown-cpu-feature 1 'CPUID|offers' ttvm replay bad.log
./log-tamper good.log bad.log xsave
expect log/other-cpu 1 'CPU, of model x86-64-v2, offers avx512f, which' ttvm replay bad.log
model()
{
	ttvm info "$1" --json | jq -r .machine.cpu_model
}
verdict log/cpu-model "$([ "$(model good.log)" = x86-64-v2 ] || model good.log)"
./log-tamper good.log bad.log no-model
verdict log/cpu-model-guessed "$([ "$(model bad.log)" = x86-64-v2 ] || model bad.log)"
expect log/of-before-cpu-models 0 '^ttvm: verified' ttvm verify bad.log
ttvm run guests/rep --cpu-model host --mem 32M --record=host.log --console none 2>host.err </dev/null
verdict log/cpu-model-host "$([ "$(model host.log)" = host ] || model host.log)"
expect log/cpu-model-host-replays 0 '^ttvm: verified' ttvm verify host.log
if ttvm info host.log | grep -q 'of model host' && grep -q 'CPU model host: the guest has XSAVE' host.err; then
	ok log/xsave-warning
elif grep -q 'CPU model x86-64-v3 needs' <(ttvm run guests/rep --cpu-model x86-64-v3 --mem 32M 2>&1 </dev/null); then
	skipped log/xsave-warning "this machine has no AVX"
else
	not_ok log/xsave-warning "$(one_line host.err)"
fi
expect log/to-instr-past-end 1 'the recording ends after' ttvm replay good.log --to-instr 99999999999
expect log/margin 1 'not a number' ttvm replay good.log --margin wide

# ---- the module ----

expect module/other-abi 1 'version' env LD_PRELOAD=./preload-abi.so ttvm run guests/rep --record=abi.log
expect module/other-abi-replay 1 'version' env LD_PRELOAD=./preload-abi.so ttvm replay good.log

# ---- two runs on one file ----

ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=idle" --mem 128M --record=two.log --console none --timeout 60 \
	</dev/null 2>two.err &
first=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ ! -s two.log ] || break
	sleep 0.1
done
expect two-runs/second-is-refused 1 'two.log.*(another|busy|being)' ttvm run guests/rep --record=two.log
kill -INT $first
wait $first
expect two-runs/first-is-whole 0 '^ttvm: verified' ttvm verify two.log

# ---- ended from outside ----

# has_events LOG: its header, with the kernel, has been written, which takes time, and events behind it.
has_events()
{
	ttvm info "$1" --json 2>/dev/null | jq -e '.events > 10' >/dev/null
}

# ended SIGNAL NAME [SECONDS]: a recording of Linux is ended by a signal, as soon as there is something to replay or after so many
# seconds, and must be replayable.
ended()
{
	local signal=$1 name=$2 status=0 recorder
	ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=idle" --mem 128M --record=ended.log \
		--console ended.console </dev/null 2>ended.err &
	recorder=$!
	sleep "${3:-3}"
	until [ "${3-}" ] || has_events ended.log; do
		kill -0 $recorder || break
		sleep 0.5
	done
	kill "-$signal" $recorder
	wait $recorder 2>/dev/null || status=$?
	case $signal in
	KILL)
		[ "$status" = 137 ] && ok "$name/ends" || not_ok "$name/ends" "status $status"
		EXPECT_TIMEOUT=300 expect "$name/replays" 0 'ended.log: .*(killed|unfinished|not closed|ended)' \
			ttvm replay --quiet ended.log
		EXPECT_TIMEOUT=300 expect "$name/verify-says-so" 4 'ended.log' ttvm verify ended.log
		;;
	*)
		[ "$status" = 0 ] && ok "$name/ends" || not_ok "$name/ends" "status $status: $(one_line ended.err)"
		if grep -q 'stopped by signal' ended.err && grep -q 'recorded instr=' ended.err; then
			ok "$name/says-so"
		else
			not_ok "$name/says-so" "$(one_line ended.err)"
		fi
		EXPECT_TIMEOUT=300 expect "$name/verifies" 0 '^ttvm: verified' ttvm verify ended.log
		;;
	esac
	ttvm replay ended.log >replayed.console 2>replay.err </dev/null
	cmp -n "$(stat -c %s replayed.console)" replayed.console ended.console >cmp.out 2>&1
	verdict "$name/console" "$(cat cmp.out)"
}

ended INT ctrl-c
ended TERM sigterm
ended KILL kill-9
ended INT ctrl-c-at-once 0.3
[ "$FAILED" = 0 ]
