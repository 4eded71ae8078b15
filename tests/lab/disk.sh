#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# disk.sh - in the test machine: a Debian guest works on a time-travel disk and with a network, booted by SeaBIOS and GRUB, and
# with its kernel given; each is recorded and replayed. What the history holds is checked afterwards on the host
# (tests/disk/history.sh): image.ttd and rec.log are left in $OUT.
#
# Beside it: image, vmlinuz, initrd (tools/lab/guest-image), bios-256k.bin, busybox.
#
# usage: disk.sh ROWS REPLAYS

. ./lib.sh
rows=$1 replays=$2
export EXPECT_TIMEOUT=900

mkdir -p www
seq 1 20000 >www/download
./busybox ip link set lo up
./busybox httpd -p 127.0.0.1:8080 -h www

# record NAME ARGUMENT...: records ttvm run ARGUMENT..., and replays it.
record()
{
	local name=$1 status=0 n
	shift
	timeout 1200 ttvm run "$@" --mem 512M --record=rec.log --console rec.console --stats stats.json </dev/null 2>rec.err || status=$?
	if [ "$status" != 0 ] || ! grep -q '^run: 0' rec.console; then
		not_ok "$name/record" "status $status: $(one_line rec.err) | $(one_line rec.console)"
		cp rec.console "$OUT/$name.console"
		return 1
	fi
	ok "$name/record"
	for ((n = 0; n < replays; n++)); do
		status=0
		timeout 1200 ttvm replay rec.log >rep.console 2>rep.err </dev/null || status=$?
		if [ "$status" != 0 ]; then
			not_ok "$name/replay/$n" "status $status: $(one_line rep.err)"
			cp rep.err "$OUT/$name-$n.err"
		elif ! cmp -s rec.console rep.console; then
			not_ok "$name/replay/$n" "another console"
		elif [ "$(field digest rec.err)" != "$(field digest rep.err)" ]; then
			not_ok "$name/replay/$n" "digest $(field digest rep.err) instead of $(field digest rec.err)"
		else
			ok "$name/replay/$n"
		fi
	done
	echo "$name: $(one_line rec.err)"
}

# says NAME LINE: the guest has said so.
says()
{
	verdict "$1" "$(grep -q -- "$2" rec.console || echo "the guest does not say '$2': $(one_line rec.console)")"
}

before=$(stat -c '%Y %b' image)
record kernel --kernel vmlinuz --initrd initrd --append "console=ttyS0 quiet root=/dev/vda1 ro rows=$rows" --disk image --net user || exit 1
says kernel/compiled 'compiled in the guest'
says kernel/rows "rows: $rows"
says kernel/integrity '^ok'
says kernel/download "download: $(md5sum <www/download)"
cp rec.log image.ttd "$OUT/"
first=$(stat -c %s image.ttd)

# The disk goes on from where the first run has left it.
record bios image --firmware bios-256k.bin || exit 1
says bios/grub 'Loading Debian'
says bios/integrity '^ok'
verdict history-grows "$([ "$(stat -c %s image.ttd)" -gt "$first" ] || echo "it has $(stat -c %s image.ttd) bytes, as before")"
verdict base-untouched "$([ "$(stat -c '%Y %b' image)" = "$before" ] || echo "was '$before', is '$(stat -c '%Y %b' image)'")"

# The first recording still finds the disk as it was then, though much has been written since.
status=0
timeout 1200 ttvm replay --quiet "$OUT/rec.log" 2>rep.err || status=$?
verdict replay-after-more "$([ "$status" = 0 ] || echo "status $status: $(one_line rep.err)")"

ttvm disk log image.ttd --json >log.json
verdict log "$(jq -e 'length > 10 and all(has("epoch") and has("time") and has("instr") and has("bytes") and has("marks"))' log.json >/dev/null ||
	echo "unexpected: $(head -c 200 log.json)")"

# The guest has deleted a file: the last epoch of the first recording that still has it, and the instruction at which the next
# one ends. Just before, the disk has the file; there, it has not; and a replay can stand there.
has_file()
{
	ttvm disk diff image.ttd base "$1" --files | grep -q 'added.*/root/precious$'
}
last=$(jq --arg id "$(ttvm info "$OUT/rec.log" --json | jq -r .recording.id)" \
	'[.[] | select(.recording == $id) | .epoch] | max' log.json)
epoch=$last
while [ "$epoch" -gt 1 ] && ! has_file "epoch:$epoch"; do
	epoch=$((epoch - 1))
done
verdict deletion/found "$([ "$epoch" -lt "$last" ] && [ "$epoch" -gt 1 ] || echo "epoch $epoch of $last")"
instr=$(jq --argjson epoch $((epoch + 1)) '.[] | select(.epoch == $epoch) | .instr' log.json)
verdict deletion/before "$(has_file "instr:$(jq --argjson epoch "$epoch" '.[] | select(.epoch == $epoch) | .instr' log.json)@$OUT/rec.log" ||
	echo "the disk lacks the file at epoch $epoch's instruction")"
verdict deletion/after "$(! has_file "instr:$instr@$OUT/rec.log" || echo "the disk still has the file at instruction $instr")"
for n in 1 2; do
	timeout 1200 ttvm replay "$OUT/rec.log" --quiet --to-instr "$instr" --regs >regs.$n 2>rep.err </dev/null || one_line rep.err
done
verdict deletion/reached "$(grep -q '^rip=' regs.1 && cmp -s regs.1 regs.2 || echo "instruction $instr: $(one_line rep.err)")"
[ "$FAILED" = 0 ]
