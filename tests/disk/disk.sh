#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# disk.sh - ttvm disk as its user meets it, on real ext4 file systems, without a guest: disk-write does the writing.
#
# usage: tests/disk/disk.sh
#
# Needs build/ttvm, build/tests/disk-write and build/nbdkit-ttdisk-plugin.so of this checkout, or of the folder $BUILD.

here=$(dirname "$(readlink -f "$0")")
top=$(readlink -f "$here/../..")
# shellcheck source=tests/lib.sh
. "$top/tests/lib.sh"
build=${BUILD:-$top/build}
TTVM=$build/ttvm
PATH=$PATH:/sbin:/usr/sbin
write()
{
	"$build/tests/disk-write" "$@"
}
tmp=$(mktemp -d)
trap 'cd /; rm -rf -- "$tmp"' EXIT
cd "$tmp" || exit 1
OUT=$tmp/out
mkdir out

# same NAME A B: ok when two files have the same bytes.
same()
{
	verdict "$1" "$(cmp "$2" "$3" 2>&1)"
}

# equal NAME WHAT EXPECTED
equal()
{
	verdict "$1" "$([ "$2" = "$3" ] || printf "'%s' instead of '%s'" "$(tr '\n' ';' <<<"$2")" "$(tr '\n' ';' <<<"$3")")"
}

# succeeds NAME COMMAND...: with status 0 and nothing on stderr.
succeeds()
{
	local name=$1 status=0
	shift
	"$@" >out/stdout 2>out/stderr || status=$?
	verdict "$name" "$([ $status = 0 ] && [ ! -s out/stderr ] || echo "status $status: $(one_line out/stderr)")"
}

# at T OUT: the disk at T as a raw file.
at()
{
	"$TTVM" disk export guest.img --at "$1" --raw "$2" --force
}

# ---- help and manual page ----

commands='create info log mark unmark diff export mount branch gc check'
sed 's/\\-/-/g; s/\\f.//g' "$top/docs/man/ttvm-disk.1" >page
for command in $commands; do
	why=
	"$TTVM" disk "$command" --help >help 2>err || why="status $?"
	[ ! -s err ] || why="something on stderr: $(one_line err)"
	head -n 1 help | grep -q "^usage: ttvm disk $command" || why="no usage line: $(head -n 1 help)"
	grep -q '^Exit status: 0 ' help || why="exit statuses are not named"
	[ "$(awk 'length > 120' help | wc -l)" = 0 ] || why="a line is longer than 120 columns"
	for option in $(grep -oE -- '--[a-z][a-z-]*' help | sort -u); do
		[ "$option" = --help ] || grep -q -- "$option" page || why="the manual page lacks $option"
	done
	verdict "help/$command" "$why"
	expect "usage/$command/option" 1 'unrecognized option|lists the options' "$TTVM" disk "$command" --frobnicate
	expect "usage/$command/argument" 1 'argument|where to|missing' "$TTVM" disk "$command"
	# shellcheck disable=SC2046 # no argument, one or more
	expect "usage/$command/missing" 1 'nothing' "$TTVM" disk "$command" nothing $(
		case $command in
		mark | unmark) echo m ;;
		diff) echo base now ;;
		export) echo --raw out.img ;;
		mount) echo . ;;
		branch) echo now new.ttd ;;
		gc) echo --keep marks ;;
		esac
	)
done
expect usage/none 1 'commands:' "$TTVM" disk
expect usage/unknown 1 'unknown command' "$TTVM" disk frobnicate

# ---- a file system in five states ----

mkdir -p root/docs/old root/bin
seq 20000 >root/docs/numbers
echo 'dear reader' >root/docs/letter
echo first >root/docs/old/first
printf '#!/bin/sh\n' >root/bin/run
truncate -s 64M guest.img
printf '%s\n' 'label: dos' 'start=1M, size=30M, type=83' 'start=32M, size=30M, type=82' | sfdisk -q guest.img
truncate -s 30M fs
mke2fs -q -F -t ext4 -b 4096 -d root fs

# state NAME DEBUGFS-COMMAND...: changes fs, and makes NAME.img, the disk with it in its first partition.
state()
{
	local name=$1
	shift
	printf '%s\n' "$@" | debugfs -w fs >>debugfs.log 2>&1
	cp guest.img "$name.img"
	dd if=fs of="$name.img" bs=1M seek=1 conv=notrunc,sparse status=none
}
state s0
mv s0.img guest.img
cp guest.img s0.img
date >new
state s1 'write new docs/new'
state s2 'rm docs/letter' 'mkdir docs/empty'
state s3 'ln docs/old docs/older' 'unlink docs/old' 'sif docs/older/first mode 0100600'
head -c 3000000 /dev/urandom >random
state s4 'write random docs/random' 'rm docs/new'

# ---- create ----

expect create/kernel 1 'a kernel, not a disk' "$TTVM" disk create "$build/ttvm"
if command -v qemu-img >/dev/null; then
	for format in qcow qcow2 qed vmdk vdi vhdx vpc parallels; do
		qemu-img create -q -f $format foreign.disk 8M 2>/dev/null || continue
		"$TTVM" disk create foreign.disk 2>err
		equal "create/foreign/$format/status" $? 1
		# The command that it names works.
		command=$(sed -n 's/.*Convert it: //p' err)
		verdict "create/foreign/$format" "$(
			[[ $command == "qemu-img convert"* ]] || one_line err
			rm -f foreign.img
			eval "$command" 2>&1 || echo "$command failed"
			[ "$(stat -c %s foreign.img)" -ge 8388608 ] || echo "$command did not do it"
		)"
	done
else
	skipped create/foreign 'no qemu-img'
fi
gzip -k <root/docs/numbers >numbers.gz
expect create/gzip 1 'gzip file: unpack it' "$TTVM" disk create numbers.gz
expect create/folder 1 'neither a regular file nor a block device' "$TTVM" disk create root
expect create/text 1 'multiple of 512' "$TTVM" disk create root/docs/letter
succeeds create/new "$TTVM" disk create guest.img
expect create/again 1 'guest.img.ttd' "$TTVM" disk create guest.img
expect create/history 1 'a history already' "$TTVM" disk create guest.img.ttd
cp guest.img other.img
succeeds create/output "$TTVM" disk create other.img --hash -o elsewhere.ttd
expect no-history 1 'it has no history' "$TTVM" disk log other.img

# ---- write, and look at it ----

before=$(sha256sum guest.img)
write image guest.img.ttd s1.img 1000
write record guest.img.ttd 11111111-2222-4333-8444-555555555555 s2.img 500 s3.img 900
write log log.zst 11111111-2222-4333-8444-555555555555
write log none.zst 99999999-2222-4333-8444-555555555555
succeeds mark/now "$TTVM" disk mark guest.img three
time=$("$TTVM" disk log guest.img --json | jq -r '.[-1].time')
sleep 0.01
write dirty guest.img.ttd s4.img 40
equal base/unchanged "$(sha256sum guest.img)" "$before"

"$TTVM" disk log guest.img --json >json
equal log/json "$(jq -c '[.[] | [.epoch, .instr, .marks, .open]]' json)" \
	'[[1,1000,[],false],[2,500,[],false],[3,900,["three"],false],[4,40,[],true]]'
equal log/sums "$(jq '[.[].bytes] | min > 0' json)" true
equal log/recording "$(jq -r '.[1].recording' json)" 11111111-2222-4333-8444-555555555555
equal log/last "$("$TTVM" disk log guest.img --last 2 --json | jq -c '[.[].epoch]')" '[3,4]'
equal log/text "$("$TTVM" disk log guest.img.ttd | awk 'NR > 1 { print $1, $3 }')" $'1 1000\n2 500\n3 900\n4 40'
equal info/json "$("$TTVM" disk info guest.img --json | jq -c '[.bytes, .epochs, .marks[0].name, .recordings[0].epoch]')" \
	'[67108864,3,"three",1]'
"$TTVM" disk info guest.img >text
verdict info/text "$(grep -q '^mark *three, epoch 3' text || one_line text)"

# ---- export, at every kind of point ----

for point in base:s0 epoch:0:s0 epoch:1:s1 epoch:2:s2 epoch:3:s3 epoch:4:s4 mark:three:s3 now:s4 "time:$time:s3" \
	instr:0@log.zst:s1 instr:499@log.zst:s1 instr:500@log.zst:s2 instr:899@log.zst:s2 instr:900@log.zst:s3 \
	instr:123456@log.zst:s3; do
	at "${point%:*}" out.img 2>err || one_line err
	same "export/raw/${point%:*}" out.img "${point##*:}.img"
done
verdict export/sparse "$([ "$(du -k out.img | cut -f 1)" -lt 20000 ] || du -k out.img)"
expect export/exists 1 'exists; --force' "$TTVM" disk export guest.img --raw out.img
expect export/nowhere 1 'where to' "$TTVM" disk export guest.img
expect export/two 1 'where to' "$TTVM" disk export guest.img --raw o --port 10809
expect export/full 1 'File too large|No space' bash -c "trap '' XFSZ; ulimit -f 1000; exec '$TTVM' disk export guest.img --raw big.img"
verdict export/full/removed "$([ ! -e big.img ] || echo 'an unfinished file is left')"
for point in epoch:99 epoch:x mark:none mark: time:yesterday time:2026-02-30T00:00:00Z time:2026-01-01T00:00:00 \
	instr:5 instr:x@log.zst instr:5@none.zst instr:5@missing.zst tomorrow; do
	expect "point/$point" 1 . "$TTVM" disk export guest.img --at "$point" --raw point.img
done
cp "$build/ttvm" not-a.log
expect point/not-a-log 4 . "$TTVM" disk export guest.img --at instr:5@not-a.log --raw point.img

# nbd NAME T COMMAND...: runs COMMAND with $socket of an export, and ends it.
nbd()
{
	local name=$1 point=$2 pid i why=
	shift 2
	socket=$tmp/$name.sock
	rm -f nbd.pid
	"$TTVM" disk export guest.img --at "$point" --socket "$socket" --pidfile nbd.pid >nbd.out 2>nbd.err &
	pid=$!
	for ((i = 0; i < 200; i++)); do
		[ ! -s nbd.pid ] || break
		sleep 0.05
	done
	"$@" >>nbd.out 2>&1 || why="$*: status $?, $(one_line nbd.out) $(one_line nbd.err)"
	kill "$pid" 2>/dev/null
	wait "$pid"
	verdict "export/nbd/$name" "$why"
}
nbd_copy()
{
	rm -f nbd.img
	nbdcopy "nbd+unix:///?socket=$socket" nbd.img && cmp nbd.img s2.img
}
nbd_info()
{
	[ "$(nbdinfo --size "nbd+unix:///?socket=$socket")" = 67108864 ] && nbdinfo --is read-only "nbd+unix:///?socket=$socket"
}
nbd_qemu()
{
	qemu-img compare -f raw -F raw "nbd+unix:///?socket=$socket" s0.img
}
# Writes after the export began are not seen.
nbd_fixed()
{
	write image guest.img.ttd s2.img 50 && nbdcopy "nbd+unix:///?socket=$socket" fixed.img && cmp fixed.img s4.img &&
		write image guest.img.ttd s4.img 60
}
if command -v nbdkit >/dev/null; then
	command -v nbdcopy >/dev/null && nbd copy epoch:2 nbd_copy && nbd info mark:three nbd_info
	command -v qemu-img >/dev/null && nbd qemu base nbd_qemu
	cp guest.img.ttd guest.copy
	nbd fixed now nbd_fixed
	rm -f guest.img.ttd.idx
	mv guest.copy guest.img.ttd
else
	skipped export/nbd 'no nbdkit'
fi

if command -v nbdinfo >/dev/null; then
	port=$((20000 + $$ % 20000))
	"$TTVM" disk export guest.img --at base --port $port >nbd.out 2>&1 &
	pid=$!
	for ((i = 0; i < 100; i++)); do
		size=$(nbdinfo --size "nbd://127.0.0.1:$port" 2>nbd.err) && break
		sleep 0.05
	done
	equal export/nbd/port "$size" 67108864
	kill $pid
	wait $pid
fi

# ---- while a guest writes to it ----

in_use=(flock guest.img.ttd "$TTVM" disk)
for command in 'mark guest.img x' 'unmark guest.img three' 'gc guest.img --keep marks' 'check guest.img --repair'; do
	# shellcheck disable=SC2086 # words
	expect "in-use/${command%% *}" 1 'in use|being written|another' "${in_use[@]}" $command
done
succeeds in-use/export "${in_use[@]}" export guest.img --at mark:three --raw out.img --force
same in-use/exported out.img s3.img
succeeds in-use/diff "${in_use[@]}" diff guest.img base now --files
equal in-use/log "$("${in_use[@]}" log guest.img --json | jq length)" 4

# ---- diff ----

equal diff/none "$("$TTVM" disk diff guest.img epoch:1 epoch:1 --json)" '[]'
# Apply the ranges that differ to the one, and it becomes the other.
cp s1.img patched.img
"$TTVM" disk diff guest.img epoch:1 now --json | jq -r '.[] | "\(.offset / 512) \(.bytes / 512)"' |
	while read -r sector count; do
		dd if=s4.img of=patched.img bs=512 skip="$sector" seek="$sector" count="$count" conv=notrunc status=none
	done
same diff/ranges patched.img s4.img
equal diff/both-ways "$("$TTVM" disk diff guest.img now base | tail -n 1)" "$("$TTVM" disk diff guest.img base now --json |
	jq -r '"\(map(.bytes) | add) bytes in \(length) ranges"')"
equal diff/written "$("$TTVM" disk diff guest.img base now --written --json | jq 'map(.bytes) | add > 3000000')" true

# files A B: the changes, one per line.
files()
{
	"$TTVM" disk diff guest.img "$1" "$2" --files --json >json 2>err || one_line err
	jq -r '.[] | "\(.change) \(.partition):\(.path)\(if .from then " <- " + .from else "" end)"' json
}
equal diff/files/added "$(files base epoch:1)" 'added 1:/docs/new'
equal diff/files/size "$(jq '.[0].size' json)" "$(stat -c %s new)"
equal diff/files/removed "$(files epoch:1 epoch:2)" $'added 1:/docs/empty\nremoved 1:/docs/letter'
equal diff/files/renamed "$(files epoch:2 epoch:3)" $'renamed 1:/docs/older <- /docs/old\nchanged 1:/docs/older/first'
equal diff/files/what "$(jq -c '.[1].what' json)" '["mode"]'
equal diff/files/back "$(files now epoch:3)" $'added 1:/docs/new\nremoved 1:/docs/random'
equal diff/files/all "$(files base now | cut -d ' ' -f 1 | sort | uniq -c | tr -s ' \n' ' ')" ' 2 added 1 changed 1 removed 1 renamed '
"$TTVM" disk diff guest.img epoch:1 epoch:2 --files >text 2>err
verdict diff/files/text "$(grep -Eq '^removed +12  .*1:/docs/letter$' text || one_line text)"
# The other partition has changed too, and is no file system.
head -c 4096 /dev/urandom | dd of=s4.img bs=1M seek=40 conv=notrunc status=none
write image guest.img.ttd s4.img 41
verdict diff/files/other "$("$TTVM" disk diff guest.img base now --files 2>&1 >text | grep -q 'partition 2 .*not ext2' ||
	echo 'it does not say that partition 2 is not compared')"

# ---- mount ----

if [ "$(id -u)" != 0 ]; then
	expect mount/user 1 'needs root' "$TTVM" disk mount guest.img root
elif [ ! -e /dev/fuse ] || [ ! -e /dev/loop-control ] || ! command -v nbdfuse >/dev/null; then
	skipped mount '/dev/fuse, /dev/loop-control or nbdfuse is missing'
else
	mkdir mnt
	if "$TTVM" disk mount guest.img mnt --at epoch:1 2>err; then
		why=
		[ "$(cat mnt/docs/letter)" = 'dear reader' ] || why='the letter is not there'
		cmp -s new mnt/docs/new || why='the new file is not there'
		! touch mnt/x 2>/dev/null || why='it can be written to'
		verdict mount "$why"
		verdict mount/umount "$(umount mnt 2>&1)"
		for ((i = 0; i < 100; i++)); do
			pgrep -f "history=$tmp/" >/dev/null || break
			sleep 0.05
		done
		verdict mount/ends "$(pgrep -af "history=$tmp/")"
	else
		not_ok mount "$(one_line err)"
	fi
	expect mount/partition 1 'no partition 7; there are: 1 \(ext\)' "$TTVM" disk mount guest.img mnt --partition 7
	expect mount/not-a-file-system 1 'mount failed' "$TTVM" disk mount guest.img mnt --partition 2
fi

# ---- a file system in use: what is new is in its journal only ----

if [ "$(id -u)" != 0 ] || [ ! -e /dev/loop-control ]; then
	skipped journal 'a loop device can be mounted by root only'
else
	truncate -s 32M live.img
	mke2fs -q -F -t ext4 live.img
	"$TTVM" disk create live.img
	mkdir -p live
	cp live.img disk.img
	if mount -o loop disk.img live 2>err; then
		echo one >live/one
		sync -f live
		write image live.img.ttd disk.img 10
		mkdir live/folder
		mv live/one live/folder/uno
		head -c 50000 /dev/urandom >live/two
		sync -f live
		cp live/two two
		cp disk.img before.img
		write image live.img.ttd before.img 20
		umount live
		"$TTVM" disk diff live.img base now --files --json >json
		verdict journal/needed "$(dumpe2fs -h before.img 2>&1 | grep -q needs_recovery || echo 'the image is clean')"
		equal journal/base "$(jq -r '.[] | "\(.change) \(.path)"' json)" $'added /folder\nadded /folder/uno\nadded /two'
		equal journal/partition "$(jq -c 'map(.partition) | unique' json)" '[0]'
		"$TTVM" disk diff live.img epoch:1 now --files --json >json
		equal journal/step "$(jq -r '.[] | "\(.change) \(.path)"' json)" $'added /folder\nrenamed /folder/uno\nadded /two'
		if [ -e /dev/fuse ] && command -v nbdfuse >/dev/null && "$TTVM" disk mount live.img live; then
			same journal/mount two live/two
			umount live
		fi
		"$TTVM" disk export live.img --raw out.img --force
		same journal/unchanged before.img out.img
	else
		skipped journal "$(one_line err)"
	fi
fi

# ---- branch, gc, check ----

# One changed byte in the first epoch, or in the last.
cp guest.img.ttd whole.ttd
for offset in 5000 $(($(stat -c %s whole.ttd) / 2)); do
	printf '\xff' | dd of=guest.img.ttd bs=1 seek=$offset conv=notrunc status=none
	cmp -s guest.img.ttd whole.ttd && printf '\0' | dd of=guest.img.ttd bs=1 seek=$offset conv=notrunc status=none
	"$TTVM" disk check guest.img >text 2>&1
	status=$?
	equal check/damaged/$offset "$status $(sed -n 's/.*: damaged.*/damaged/p' text)" '4 damaged'
	rm -f guest.img.ttd.idx
	"$TTVM" disk log guest.img --json >json 2>err
	equal damaged/log/$offset "$? $(jq -c '[.[].epoch] == [range(1; length + 1)]' json)" '4 true'
	cp whole.ttd guest.img.ttd
done
equal damaged/log/last "$(jq 'map(select(.open | not)) | length' json)" 3
rm whole.ttd

succeeds branch "$TTVM" disk branch guest.img epoch:1 branch.ttd
"$TTVM" disk export branch.ttd --raw out.img --force
same branch/now out.img s1.img
write image branch.ttd s3.img 7
"$TTVM" disk export branch.ttd --raw out.img --force
same branch/written out.img s3.img
equal branch/diff "$("$TTVM" disk diff guest.img epoch:3 now --with branch.ttd --json)" '[]'
equal branch/info "$("$TTVM" disk info branch.ttd --json | jq -c '[.branch, .epochs]')" '[true,1]'

succeeds mark/at "$TTVM" disk mark guest.img one --at epoch:1
expect mark/again 1 . "$TTVM" disk mark guest.img one
expect mark/bad 1 . "$TTVM" disk mark guest.img 'a b'
expect unmark/none 1 . "$TTVM" disk unmark guest.img none
succeeds unmark "$TTVM" disk unmark guest.img one

expect gc/no-rule 1 'what is to be kept' "$TTVM" disk gc guest.img
expect gc/bad-rule 1 'not a rule' "$TTVM" disk gc guest.img --keep 7x
size=$(stat -c %s guest.img.ttd)
equal gc/dry-run "$("$TTVM" disk gc guest.img --keep marks --dry-run --json | jq '.bytes_after <= .bytes_before')" true
equal gc/dry-run/size "$(stat -c %s guest.img.ttd)" "$size"
equal gc/age "$("$TTVM" disk gc guest.img --keep 1h --dry-run --json | jq '.epochs_after == .epochs_before')" true
succeeds gc "$TTVM" disk gc guest.img --keep marks
for point in base:s0 mark:three:s3 now:s4; do
	at "${point%:*}" out.img
	same "gc/${point%:*}" out.img "${point##*:}.img"
done
"$TTVM" disk export branch.ttd --raw out.img --force
same gc/branch out.img s3.img
expect gc/gone 1 . "$TTVM" disk export guest.img --at epoch:2 --raw gone.img

equal check/clean "$("$TTVM" disk check guest.img --json | jq -r .health)" clean
succeeds check/status "$TTVM" disk check guest.img
write image guest.img.ttd s3.img 70
cp guest.img.ttd whole.ttd
# The end of what was written last: the guest has not heard that it is flushed.
truncate -s -100 guest.img.ttd
equal check/cut "$("$TTVM" disk check guest.img --json | jq -r .health)" cut
succeeds check/repair "$TTVM" disk check guest.img --repair
equal check/repaired "$("$TTVM" disk check guest.img --json | jq -r .health)" clean
at mark:three out.img
same check/repaired/before out.img s3.img
cp whole.ttd guest.img.ttd
printf X | dd of=guest.img bs=1 seek=1048577 conv=notrunc status=none
expect base-changed 4 'guest.img' "$TTVM" disk log guest.img
equal check/base "$("$TTVM" disk check guest.img --json | jq .base_changed)" true
"$TTVM" disk check guest.img >text 2>&1
equal check/base-status $? 4
expect check/accept-alone 1 'goes with --repair' "$TTVM" disk check guest.img --accept-base
succeeds check/accept "$TTVM" disk check guest.img --repair --accept-base
succeeds check/accepted "$TTVM" disk log guest.img

[ "$FAILED" = 0 ]
