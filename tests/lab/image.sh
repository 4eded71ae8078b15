#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# image.sh - in the test machine: a whole disk image, booted by SeaBIOS and GRUB as it is.
#
# usage: image.sh IMAGE REPLAYS
#
# IMAGE is the disk of tools/lab/guest-image, which gives root a shell on the serial console. It is booted in an ordinary
# run, and somebody types into the shell; then it is booted again, recorded, with more work typed, and replayed REPLAYS
# times: same console byte for byte, same digest. Then to instructions in the BIOS, in GRUB and in Linux. The image itself
# is never written, nor its history by a replay.

. ./lib.sh
image=$1 replays=$2

# wait_for PATTERN FILE: until a line of the console matches; fails after ten minutes.
wait_for()
{
	local i
	for ((i = 0; i < 600; i++)); do
		grep -aqE "$1" "$2" && return
		sleep 1
	done
	return 1
}

# typist CONSOLE: types what is on stdin when the shell is there, and stays until the machine is off.
typist()
{
	wait_for 'guest: shell' "$1"
	sleep 1
	cat
	wait_for 'Power down' "$1"
}

# typed NAME OPTION...: boots the image with what is on stdin typed into it. NAME.console and NAME.err are left; prints
# what is wrong, empty when nothing.
typed()
{
	local name=$1 status
	shift
	: >"$name.console"
	typist "$name.console" | timeout 900 ttvm run "$image" "$@" >"$name.console" 2>"$name.err"
	status=${PIPESTATUS[1]}
	[ "$status" = 0 ] || echo "status $status: $(one_line "$name.err")"
}

# lacks CONSOLE PATTERN...: names the first pattern that no line has.
lacks()
{
	local console=$1 pattern
	shift
	for pattern; do
		grep -aqE "$pattern" "$console" || {
			echo "the console lacks '$pattern': $(one_line "$console")"
			return
		}
	done
}

stages=('SeaBIOS \(version' 'Booting from Hard Disk' 'GRUB loading' 'Loading Debian' 'Linux version 6'
	'Run /init as init process' 'EXT4-fs \(vda1\): mounted' 'guest: shell' 'reboot: Power down')

changed()
{
	[ "$(sha256sum <"$1")" = "$2" ] || echo "$1 was written"
}

image_sum=$(sha256sum <"$image")

verdict run "$(typed run <<-'END'
	echo answer=$((6 * 7)) | tee /root/left-behind
	exit
END
)"
verdict run/stages "$(lacks run.console "${stages[@]}" 'answer=42')"
verdict run/image-unwritten "$(changed "$image" "$image_sum")"

# The second boot finds what the first one wrote.
verdict record "$(typed rec --record=rec.log <<-'END'
	cat /root/left-behind
	echo 'int puts(const char *); int main(void) { puts("compi" "led"); return 0; }' >hello.c
	gcc -O2 -o hello hello.c && ./hello
	sqlite3 t.db 'create table t(a); insert into t values(40), (2); select "sum=" || sum(a) from t;'
	cat /proc/uptime /proc/interrupts
	exit
END
)"
verdict record/stages "$(lacks rec.console "${stages[@]}" 'answer=42' 'compiled' 'sum=42')"
verdict record/image-unwritten "$(changed "$image" "$image_sum")"
history_sum=$(sha256sum <"$image.ttd")

for ((i = 0; i < replays; i++)); do
	status=0 why=
	timeout 900 ttvm replay rec.log >rep.console 2>rep.err </dev/null || status=$?
	if [ "$status" != 0 ]; then
		why="status $status: $(grep -m1 -i diverge rep.err) $(one_line rep.err)"
	elif ! cmp -s rec.console rep.console; then
		why="another console: $(cmp rec.console rep.console 2>&1)"
	elif [ "$(field digest rec.err)" != "$(field digest rep.err)" ]; then
		why="digest=$(field digest rep.err) instead of $(field digest rec.err)"
	fi
	verdict "replay/$i" "$why"
done
verdict replay/history-unwritten "$(changed "$image.ttd" "$history_sum")"

# Flat code of the BIOS, of GRUB, of Linux.
for at in 500000 40000000 $(($(field instr rec.err) / 2)); do
	expect "to-instr/$at" 0 "replayed instr=$at " ttvm replay rec.log --to-instr "$at"
done

# A disk with nothing on it is refused; of a history that is not known, so the BIOS says it, and the run ends.
truncate -s 1M empty
expect no-boot-sector 1 'not a disk that boots' ttvm run empty
ttvm disk create empty >/dev/null
status=0
timeout 300 ttvm run empty.ttd >empty.console 2>empty.err </dev/null || status=$?
verdict no-loader "$([ "$status" = 0 ] || echo "status $status: $(one_line empty.err)")"
verdict no-loader/message "$(lacks empty.console 'Boot failed: not a bootable disk' 'No bootable device')"

expect no-firmware 1 'bios-of-nobody' ttvm run "$image" --firmware bios-of-nobody
head -c 100000 /usr/share/seabios/bios-256k.bin >short-bios
expect firmware-size 1 'is no PC BIOS' ttvm run "$image" --firmware short-bios

[ "$FAILED" = 0 ] || cp run.* rec.err rec.console rep.* empty.* "$OUT/" 2>/dev/null
[ "$FAILED" = 0 ]
