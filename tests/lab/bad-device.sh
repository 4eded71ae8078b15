# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# bad-device.sh - in the test machine: /dev/bad, a block device that fails and recovers at one's wish. It is null_blk with
# bad blocks: every access to a bad block is an I/O error, flushes succeed.

BAD_DEVICE=/sys/kernel/config/nullb/bad

# bad_device_create MIB
bad_device_create()
{
	modprobe null_blk nr_devices=0 2>/dev/null
	[ -d /sys/kernel/config/nullb ] || mount -t configfs none /sys/kernel/config 2>/dev/null
	mkdir $BAD_DEVICE && echo 1 >$BAD_DEVICE/memory_backed && echo "$1" >$BAD_DEVICE/size &&
		echo 1 >$BAD_DEVICE/power || return
	bad_device_sectors=$(($1 * 2048))
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ ! -b /dev/bad ] || return 0
		sleep 0.1
	done
	return 1
}

# All its blocks become bad (+) or good (-). In pieces of 512 sectors, the most that an entry of the kernel's table has: of
# longer ranges Linux 6.1 makes a table in which it finds nothing.
bad_device_set()
{
	local sector
	for ((sector = 0; sector < bad_device_sectors; sector += 512)); do
		echo "$1$sector-$((sector + 511))" >$BAD_DEVICE/badblocks || return
	done
}

bad_device_break()
{
	bad_device_set +
}

bad_device_heal()
{
	bad_device_set -
}
