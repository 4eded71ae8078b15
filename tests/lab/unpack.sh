#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# unpack.sh - in the test machine, with another kernel than pack.sh: what was packed there is replayed here.
#
# Beside it, from pack.sh: disk.tar.zst, tiny.tar.zst, whole.tar.zst, none.tar.zst, disk.err, tiny.err, none.err,
# disk.console; and vmlinux, initrd.

. ./lib.sh
export EXPECT_TIMEOUT=300

# replays FOLDER LOG: as it was recorded.
replays()
{
	local folder=$1 log=$2 status=0
	timeout 300 ttvm replay "$folder/$log.zst" >rep.console 2>rep.err </dev/null || status=$?
	verdict "$folder/replay" "$(if [ "$status" != 0 ]; then
		echo "status $status: $(one_line rep.err)"
	elif [ "$(field digest rep.err)" != "$(field digest "$log.err")" ]; then
		echo "digest $(field digest rep.err) instead of $(field digest "$log.err")"
	fi)"
}

expect disk/unpack 0 'ttvm replay disk/disk.zst' ttvm unpack disk.tar.zst
replays disk disk
verdict disk/console "$(cmp disk.console rep.console 2>&1)"
expect tiny/unpack 0 '^ttvm: unpacked files=5' ttvm unpack tiny.tar.zst -C tiny
replays tiny tiny
ttvm unpack whole.tar.zst --json >unpack.json 2>/dev/null
verdict whole/json "$(jq -e '.directory == "whole" and .log == "tiny.zst" and (.files | length == 5)' unpack.json >/dev/null ||
	tr -d '\n' <unpack.json)"
replays whole tiny
expect none/unpack 0 '^ttvm: unpacked files=1' ttvm unpack none.tar.zst -C here
replays here none
mkdir tarred
zstd -qdc tiny.tar.zst | tar -x -C tarred
verdict tarred/same "$(for file in tiny/*; do cmp "$file" "tarred/${file##*/}" 2>&1; done | grep -v '\.idx' | head -n 1)"

# ---- the disk: what did not come along is an error, and not zeroes ----

verdict disk/check "$(ttvm disk check disk/disk.ttd >check.out 2>&1 || one_line check.out)"
expect disk/not-all 1 'did not come along' ttvm disk export disk/disk.ttd --at now --raw raw
verdict whole/all "$(ttvm disk export whole/data.ttd --at now --raw raw --force 2>&1)"
verdict whole/size "$([ "$(stat -c %s raw)" = 3145728 ] || stat -c %s raw)"
verdict disk/info "$(ttvm disk info disk/image.ttd --json | jq -e '.partial and (.branch | not)' >/dev/null || echo "it does not say that it is partial")"
# The parts of the image are gone: that is no disk.
mv disk/image.parts.ttd .
expect missing/parts 1 'image.parts.ttd' ttvm replay disk/disk.zst
mv image.parts.ttd disk/
# Another guest wants more of it.
timeout 300 ttvm run vmlinux --initrd initrd --append "$FAST_LINE work=seqread requests=20" --mem 96M --disk disk/disk.ttd \
	--console more.console </dev/null 2>more.err
verdict more/said "$(grep -q 'reads sector [0-9]* of a disk.*did not come along' more.err || one_line more.err)"
verdict more/guest-sees-it "$(grep -q 'I/O error' more.console || one_line more.console)"
# It wrote nothing, so the recording is as it was.
expect more/replay 0 '^ttvm: replayed' ttvm replay disk/disk.zst --quiet

# ---- what is refused leaves nothing behind ----

expect exists/folder 1 'tiny: exists already' ttvm unpack tiny.tar.zst
expect exists/file 1 'tiny/tiny.zst: exists already' ttvm unpack tiny.tar.zst -C tiny
verdict exists/kept "$(cmp tiny/tiny.zst tarred/tiny.zst 2>&1)"
expect missing/pack 1 'nowhere.tar.zst' ttvm unpack nowhere.tar.zst
expect missing/arguments 1 'one pack, please' ttvm unpack
expect missing/suffix 1 'say where to unpack it' ttvm unpack disk/disk.zst
expect bad/log 4 'not a pack' ttvm unpack disk/disk.zst -C bad
head -c 100000 /dev/urandom >noise.tar.zst
expect bad/noise 4 'noise.tar.zst: not a pack' ttvm unpack noise.tar.zst
: >empty.tar.zst
expect bad/empty 4 'empty.tar.zst: ends too early' ttvm unpack empty.tar.zst
size=$(stat -c %s tiny.tar.zst)
for cut in 1 5 $((size / 2)) $((size - 10)); do
	head -c -$cut tiny.tar.zst >bad.tar.zst
	expect "bad/cut-$cut" 4 'bad.tar.zst: (ends too early|not a pack)' ttvm unpack bad.tar.zst
done
for at in 3 1000 $((size / 2)) $((size - 1)); do
	cp tiny.tar.zst bad.tar.zst
	byte=$(od -An -tu1 -j "$at" -N 1 bad.tar.zst)
	printf "\\x$(printf %02x $((byte ^ 0xff)))" | dd of=bad.tar.zst bs=1 seek="$at" conv=notrunc status=none
	expect "bad/byte-$at" 4 'bad.tar.zst: .*(damaged|not a pack|manifest)' ttvm unpack bad.tar.zst
done
# What others put in: the manifest is not true any more, or leads out of the folder.
repack()
{
	(cd tarred && tar --format=ustar -cf - "$@") | zstd -qf -o bad.tar.zst
}
cp tarred/ttvm-pack.json manifest
mapfile -t files < <(jq -r '.files[].name' manifest)
last=${files[-1]}
repack ttvm-pack.json "${files[@]}"
expect repacked/good 0 '^ttvm: unpacked' ttvm unpack bad.tar.zst -C repacked
repack ttvm-pack.json "${files[@]:0:${#files[@]}-1}"
expect repacked/missing-file 4 "bad.tar.zst: damaged: $last is not where its manifest says" ttvm unpack bad.tar.zst
jq '.files[-1].name |= "../outside"' manifest >tarred/ttvm-pack.json
repack ttvm-pack.json "${files[@]}"
expect repacked/outside 4 'manifest makes no sense' ttvm unpack bad.tar.zst
jq '.files[-1].xxh64 |= "0123456789abcdef"' manifest >tarred/ttvm-pack.json
repack ttvm-pack.json "${files[@]}"
expect repacked/other-checksum 4 "$last in it has another checksum" ttvm unpack bad.tar.zst
jq 'del(.files[-1])' manifest >tarred/ttvm-pack.json
repack ttvm-pack.json "${files[@]}"
expect repacked/one-more 4 'a file that its manifest does not list' ttvm unpack bad.tar.zst
mkdir full
mount -t tmpfs -o size=1M full full
expect bad/no-space 1 'No space' ttvm unpack whole.tar.zst -C full
verdict bad/no-space-nothing-left "$(ls -A full)"
verdict bad/nothing-left "$(ls -d bad noise empty outside tiny/.ttvm* ../outside 2>/dev/null)"
[ "$FAILED" = 0 ]
