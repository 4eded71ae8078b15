#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# pack.sh - in the test machine: recordings with disks are packed. unpack.sh, in another machine with another kernel,
# replays it there from what is left in $OUT: *.tar.zst, disk.err and tiny.err (how the recordings ended), disk.console.
#
# Beside it: vmlinux, initrd, guests.

. ./lib.sh
export EXPECT_TIMEOUT=300

record()
{
	local name=$1
	shift
	timeout 300 ttvm run "$@" --record="$name.zst" --console "$name.console" </dev/null 2>"$name.err"
	verdict "$name/record" "$(grep -q '^ttvm: recorded' "$name.err" || one_line "$name.err")"
}

# A guest of Linux reads some of its disk, which is a branch, and writes there as well. The image is large beside that.
mkdir there
head -c 8M /dev/urandom >there/image
ttvm disk create there/image
ttvm disk mark there/image some-mark
ttvm disk branch there/image mark:some-mark there/disk.ttd
record disk vmlinux --initrd initrd --append "$FAST_LINE work=randread requests=40" --mem 96M --disk there/disk.ttd
before=$(md5sum there/*.ttd there/image disk.zst)
ttvm pack disk.zst --json >pack.json 2>pack.err
verdict disk/pack "$(grep -q '^ttvm: packed files=4 ' pack.err || one_line pack.err)"
verdict disk/json "$(jq -e '(.files | length == 4) and (.disks | length == 1) and .log == "disk.zst" and .disks[0].history == "disk.ttd"
	and .disks[0].image_bytes >= 100000 and .disks[0].image_bytes < .disks[0].bytes / 8 and (.disks[0].whole | not)' \
	pack.json >/dev/null || tr -d '\n' <pack.json)"
list=$(zstd -qdc disk.tar.zst | tar -t | tr '\n' ' ')
verdict disk/stock-tools "$([ "$list" = 'ttvm-pack.json disk.zst image.parts.ttd image.ttd disk.ttd ' ] || echo "tar lists $list")"
verdict disk/untouched "$(echo "$before" | md5sum -c --quiet 2>&1)"
verdict disk/small "$([ "$(stat -c %s disk.tar.zst)" -lt $(($(stat -c %s disk.zst) + 1000000)) ] || stat -c %s disk.tar.zst)"
expect disk/exists 1 'disk.tar.zst: exists already' ttvm pack disk.zst

# Two disks of one name, none of which the guest reads; all of their images. Nothing is replayed for that.
mkdir one two
for folder in one two; do
	truncate -s 2M $folder/data
	head -c 1M /dev/urandom >>$folder/data
done
record tiny guests/timer-storm --mem 32M --disk one/data --disk two/data,readonly
expect tiny/pack 0 '^ttvm: packed files=5 .* image-bytes=0 ' ttvm pack tiny.zst
expect tiny/whole 0 '^ttvm: packed files=5 .* image-bytes=2097152 ' ttvm pack tiny.zst --whole-disks -o whole.tar.zst
record none guests/timer-storm --mem 32M
expect none/pack 0 '^ttvm: packed files=1 .* image-bytes=0 ' ttvm pack none.zst

# ---- what cannot be packed ----

expect missing/log 1 'nowhere.zst' ttvm pack nowhere.zst
expect missing/arguments 1 'one log, please' ttvm pack
expect missing/too-many-disks 1 'has 0 disks only' ttvm pack none.zst --disk one/data.ttd -o no.tar.zst
expect bad/no-log 4 'pack.json' ttvm pack pack.json
mv one gone
expect missing/disk 1 'one/data.ttd' ttvm pack tiny.zst -o no.tar.zst
expect missing/whole-disk 1 'one/data.ttd' ttvm pack tiny.zst --whole-disks -o no.tar.zst
expect elsewhere/disk 0 '^ttvm: packed' ttvm pack tiny.zst --disk gone/data.ttd -o elsewhere.tar.zst
expect bad/folder 1 'nofolder' ttvm pack none.zst -o nofolder/no.tar.zst
mkdir full
mount -t tmpfs -o size=1M full full
expect bad/no-space 1 'No space' ttvm pack tiny.zst --disk gone/data.ttd --whole-disks -o full/no.tar.zst
verdict bad/no-space-nothing-left "$(ls -A full)"

# A history or an image that is not as it was.
cp -r gone damaged
printf 'x' | dd of=damaged/data.ttd bs=1 seek=4200 conv=notrunc status=none
rm -f damaged/data.ttd.idx
expect bad/history 1 'the history ends before this point' ttvm pack tiny.zst --disk damaged/data.ttd -o no.tar.zst
cp gone/data.ttd damaged/
printf 'x' | dd of=damaged/data bs=1 seek=0 conv=notrunc status=none
expect bad/image 4 'was changed' ttvm pack tiny.zst --whole-disks --disk damaged/data.ttd -o no.tar.zst
verdict bad/nothing-left "$(ls -d no.tar.zst .ttvm* 2>/dev/null)"

cp ./*.tar.zst ./*.err disk.console "$OUT/"
[ "$FAILED" = 0 ]
