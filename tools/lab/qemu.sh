# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0
#
# qemu.sh - the test machine's hardware and its snapshots, as arguments of the emulator.
#
# Sourced by run, with its variables. A machine that has booted, and waits for its archive, is saved once for each
# combination of kernel, emulator, CPUs and memory; later runs continue from there, which costs a quarter of a boot.

# Generous: the emulator shares its host with other work.
BOOT_SECONDS=180
# shellcheck disable=SC2034 # run uses it
CONTINUE_SECONDS=60

# Without no_timer_check the machine sometimes panics on a busy host; the rest saves time under emulation.
KERNEL_COMMAND_LINE='console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check nokaslr mitigations=off init_on_alloc=0'
KERNEL_COMMAND_LINE+=' cryptomgr.notests initcall_blacklist=jent_mod_init apparmor=0 audit=0 random.trust_cpu=on'
KERNEL_COMMAND_LINE+=' nmi_watchdog=0 8250.nr_uarts=1 i8042.noaux i8042.nokbd'

# Prints the frequency of this machine's TSC in kHz; measures it once after each start of this machine.
tsc_khz()
{
	local file boot
	file=$LAB_CACHE/tsc-khz
	boot=$(cat /proc/sys/kernel/random/boot_id)
	if ! grep -qs "^$boot " "$file"; then
		echo "$boot $("$machine/tsckhz")" >"$file.$$"
		mv "$file.$$" "$file"
	fi
	sed 's/.* //' "$file"
}

# The machine's TSC is this machine's: see tsckhz.c.
KERNEL_COMMAND_LINE+=" tsc_early_khz=$(tsc_khz)"

# machine_arguments ARCHIVE WIRE: sets the array of that name.
machine_arguments()
{
	local model=EPYC,+svm,+npt,+perfctr-core
	[ -z "$skid" ] || model+=,x-pmu-skid=$skid
	# shellcheck disable=SC2054 # the commas are the emulator's
	machine_arguments=(
		-nodefaults -no-user-config -display none -no-reboot
		-machine pc -accel tcg,thread=multi -cpu "$model" -smp "$smp" -m "$mem"
		-kernel "$machine/vmlinux" -initrd "$machine/initrd"
		-chardev "file,id=console,path=$tmp/console" -serial chardev:console
		-drive "file=$machine/system,format=raw,if=none,id=system,read-only=on"
		-device virtio-blk-pci,drive=system
		-drive "file=$machine/modules,format=raw,if=none,id=modules,read-only=on"
		-device virtio-blk-pci,drive=modules
		-drive "file=$1,format=raw,if=none,id=archive,read-only=on"
		-device virtio-blk-pci,drive=archive
		-chardev "file,id=wire,path=$2"
		-device virtio-serial-pci -device virtserialport,nr=1,chardev=wire
	)
	# shellcheck disable=SC2206 # a list of arguments
	machine_arguments+=(${TTVM_LAB_EMULATOR_ARGS-})
}

# Tells the monitor on descriptor 8 to save the machine into FILE, and waits for it.
save_machine()
{
	local try
	echo 'migrate_set_parameter max-bandwidth 100G' >&8
	echo "migrate \"exec:cat > '$1'\"" >&8
	for ((try = 0; try < 600; try++)); do
		sleep 0.05
		echo 'info migrate' >&8
		grep -q 'Migration status: completed' "$tmp/monitor.out" && return 0
		grep -q 'Migration status: failed' "$tmp/monitor.out" && return 1
	done
	return 1
}

# take_snapshot FILE: boots a machine without an archive and saves it when it asks for one. To be called in a subshell:
# it uses descriptor 8 and the EXIT trap.
take_snapshot()
{
	local emulator_pid try status=1
	truncate -s 1M "$tmp/no-archive"
	mkfifo "$tmp/monitor"
	exec 8<>"$tmp/monitor"
	machine_arguments "$tmp/no-archive" "$tmp/snapshot.wire"
	timeout "$BOOT_SECONDS" "$emulator" "${machine_arguments[@]}" -append "$KERNEL_COMMAND_LINE" -monitor stdio \
		<"$tmp/monitor" >"$tmp/monitor.out" 2>"$tmp/monitor.err" 8>&- 9>&- &
	emulator_pid=$!
	# shellcheck disable=SC2064 # this very process, also when the variable is gone
	trap "kill $emulator_pid 2>/dev/null || true" EXIT
	for ((try = 0; try < BOOT_SECONDS * 20; try++)); do
		[ ! -s "$tmp/snapshot.wire" ] || break
		kill -0 "$emulator_pid" 2>/dev/null || break
		sleep 0.05
	done
	if [ -s "$tmp/snapshot.wire" ] && save_machine "$1"; then
		status=0
	fi
	echo quit >&8
	exec 8>&-
	wait "$emulator_pid" || true
	trap - EXIT
	return "$status"
}

# Prints the snapshot for this machine, after taking it if there is none. Returns 1 when a boot is called for: the
# emulator was given other arguments, or someone else is taking the snapshot just now.
find_snapshot()
{
	local key entry
	[ -z "${TTVM_LAB_EMULATOR_ARGS-}" ] || return 1
	key=$(echo "$machine $smp $mem $KERNEL_COMMAND_LINE" "$(stat -Lc '%n %s %Y' "$emulator")" |
		cat - "$here/qemu.sh" | sha256sum | cut -c1-16)
	entry=$LAB_CACHE/snapshot-$key
	if [ ! -e "$entry" ]; then
		mkdir -p "$LAB_CACHE/lock"
		exec 9>"$LAB_CACHE/lock/snapshot-$key"
		flock -n 9 || return 1
		if [ ! -e "$entry" ]; then
			take_snapshot "$tmp/snapshot" || return 1
			mv "$tmp/snapshot" "$entry.new"
			mv "$entry.new" "$entry"
		fi
		cache_unlock
	fi
	cache_keep "$entry"
	echo "$entry"
}
