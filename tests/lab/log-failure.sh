#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# log-failure.sh - in the test machine: the disk below the log is full, fails, or the file may not grow. The recording
# ends with status 5 and says why; what was written replays; with --on-log-error=continue the guest runs on.
#
# usage: log-failure.sh

. ./lib.sh
. ./bad-device.sh
LINE="$FAST_LINE work=mixed"

# record LOG [OPTION]...: sets status.
record()
{
	local log=$1
	shift
	status=0
	timeout 300 ttvm run vmlinux --initrd initrd --append "$LINE" --mem 256M --record="$log" --console console.out "$@" \
		</dev/null 2>rec.err || status=$?
}

# ended_early NAME LOG PATTERN: after record().
ended_early()
{
	local name=$1 log=$2 pattern=$3
	if [ "$status" != 5 ]; then
		not_ok "$name/status" "status $status instead of 5: $(one_line rec.err)"
		return
	fi
	ok "$name/status"
	grep -qiE -- "$pattern" rec.err
	verdict "$name/message" "$(grep -qiE -- "$pattern" rec.err || one_line rec.err)"
	cp "$log" early.log
	EXPECT_TIMEOUT=300 expect "$name/replays" 0 '^ttvm: replayed instr=[1-9]' ttvm replay --quiet early.log
}

# The failures come half-way through the events of such a log.
record whole.log
[ "$status" = 0 ] && ok record || { not_ok record "$(one_line rec.err)"; exit 1; }
ttvm info whole.log --json >info.json
header=$(jq .bytes.header_and_trailer info.json)
events=$(jq .bytes.events info.json)
# The writer keeps 64 KiB in reserve, for finishing the file.
room=$((header + 65536 + events / 2))
echo "header $header, events $events"
rm -f whole.log

mkdir -p full
mount -t tmpfs -o size=$((room / 4096 * 4096)) full full
record full/rec.log
ended_early disk-full full/rec.log 'No space'
rm -f full/rec.log
record full/rec.log --on-log-error continue
[ "$status" = 5 ] && grep -q 'work: mixed done' console.out
verdict disk-full/continue "$([ "$status" = 5 ] || echo "status $status"; grep -q 'work: mixed done' console.out || echo "the guest did not go on")"
umount full

# No room for the header already.
mount -t tmpfs -o size=64k full full
record full/rec.log
[ "$status" = 5 ] || [ "$status" = 1 ]
verdict disk-full/at-start "$([ "$status" = 5 ] || [ "$status" = 1 ] || echo "status $status: $(one_line rec.err)")"
umount full

status=0
(
	ulimit -f $(((header + events / 2) / 1024))
	timeout 300 ttvm run vmlinux --initrd initrd --append "$LINE" --mem 256M --record=limit.log --console none \
		</dev/null 2>rec.err
) || status=$?
ended_early file-too-large limit.log 'too large'

# A disk that begins to fail, written through.
if bad_device_create 64; then
	mke2fs -q -t ext4 -O ^has_journal /dev/bad 2>/dev/null
	mkdir -p failing
	mount -o sync /dev/bad failing
	# The guest has begun to work, and has many times as much before it.
	rm -f console.out
	(
		until grep -q 'gzip: same' console.out 2>/dev/null; do
			sleep 0.1
		done
		bad_device_break
	) &
	breaker=$!
	LINE="$LINE scale=20" record failing/rec.log
	kill $breaker 2>/dev/null
	wait $breaker
	[ "$status" = 5 ] && grep -qi 'Input/output' rec.err
	verdict failing-disk "$([ "$status" = 5 ] || echo "status $status"; grep -qi 'Input/output' rec.err || one_line rec.err)"
	umount failing
else
	skipped failing-disk "this kernel has no null_blk"
fi
[ "$FAILED" = 0 ]
