# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# disk.sh - the disk's part of the benchmark, for measure.sh and peer-qemu: how much each work does, and how long that takes.

# disk_requests WORK: prints how many requests of a disk's work take some seconds; nothing for other works.
disk_requests()
{
	case $1 in
	seqread | seqwrite | randread | randwrite) echo 5000 ;;
	fsync) echo 2500 ;;
	esac
}

# time_disk FILE: reads a guest's console; FILE gets what guest-disk says of its disks, with the seconds that went by here
# between its first line and its last, or null when it says nothing.
time_disk()
{
	local line begin=0 end=0 said=''
	while read -r line; do
		case $line in
		'disk: begin '*) begin=$EPOCHREALTIME ;;
		'disk: end '*) end=$EPOCHREALTIME said+=$line$'\n' ;;
		esac
	done
	jq -Rn --arg from "$begin" --arg to "$end" '[inputs | [scan("([a-z]+)=([0-9a-f.]+)")]
		| map({ key: .[0], value: .[1] }) | from_entries]
		| if . == [] then null else {
			requests: .[0].requests | tonumber, bytes: .[0].bytes | tonumber, checksum: map(.checksum) | unique | join(" "),
			guest_seconds: map(.seconds | tonumber), seconds: (($to | tonumber) - ($from | tonumber))
		} end' >"$1" < <(printf %s "$said")
}
