#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# module-lifetime.sh - whatever a VMM does, or is done to, the module lets go of it, and the kernel has nothing to complain of.
#
# Runs in the test machine as root, next to the program of the same name, a small VMM. usage: module-lifetime.sh [ttvm.ko]
# Prints "ok NAME" or "not ok NAME: WHY"; the status is 1 when one failed, 77 when this machine cannot run it.

vmm=$(dirname "$0")/module-lifetime
if ! [ -c /dev/ttvm ] || ! [ -c /dev/kvm ]; then
	echo "no /dev/kvm or no /dev/ttvm"
	exit 77
fi
ko=${1:-$(find /lab /lib/modules -name 'ttvm.ko*' 2>/dev/null | head -n 1)}
failed=0

result() # NAME WHY: an empty WHY is success
{
	if [ -z "$2" ]; then
		echo "ok $1"
	else
		echo "not ok $1: $2"
		failed=1
	fi
}

references()
{
	awk '$1 == "ttvm" { print $3 }' /proc/modules
}

# Processes and their detach need a moment to end.
no_references()
{
	n=0
	while [ "$(references)" != 0 ]; do
		n=$((n + 1))
		[ $n -le 50 ] || {
			echo "$(references) references are left"
			return
		}
		sleep 0.1
	done
}

# started NAME MODE: starts the VMM in the background, waits until it is attached, leaves its pid in $pid
started()
{
	"$vmm" "$@" >/tmp/vmm.out 2>/tmp/vmm.err &
	pid=$!
	n=0
	until grep -q attached /tmp/vmm.out; do
		n=$((n + 1))
		[ $n -le 100 ] || {
			result start "$(cat /tmp/vmm.err)"
			return 1
		}
		sleep 0.05
	done
}

kill_running()
{
	for i in 1 2 3 4 5 6 7 8 9 10; do
		started forever || return
		sleep 0.0$i
		kill -9 "$pid"
		wait "$pid" 2>/dev/null
	done
	why=$(no_references)
	[ -n "$why" ] || why=$("$vmm" count 5000 2>&1 >/dev/null)
	result kill-running "$why"
}

kill_idle()
{
	started idle || return
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	result kill-idle "$(no_references)"
}

ways_to_end()
{
	for way in close-kvm close-ttvm exit fork; do
		why=$(timeout 20 "$vmm" $way 2>&1 >/dev/null) || why="status $?: $why"
		[ -n "$why" ] || why=$(no_references)
		result "end-$way" "$why"
	done
}

rmmod_refused()
{
	started forever || return
	if rmmod ttvm 2>/dev/null; then
		result rmmod-refused "rmmod succeeds while a vCPU is attached"
	else
		result rmmod-refused ""
	fi
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	no_references
}

two_vmms()
{
	"$vmm" count 200000 >/dev/null 2>/tmp/one.err &
	one=$!
	"$vmm" count 300000 >/dev/null 2>/tmp/two.err &
	two=$!
	"$vmm" count 100000 >/dev/null 2>/tmp/three.err || true
	wait $one || true
	wait $two || true
	result several-vmms "$(cat /tmp/one.err /tmp/two.err /tmp/three.err)"
}

reload()
{
	why=
	n=0
	while [ $n -lt 50 ] && [ -z "$why" ]; do
		n=$((n + 1))
		rmmod ttvm 2>/tmp/err || why="rmmod, round $n: $(cat /tmp/err)"
		[ -n "$why" ] || insmod "$ko" 2>/tmp/err || why="insmod, round $n: $(cat /tmp/err)"
		[ -n "$why" ] || [ $((n % 5)) -ne 0 ] || why=$("$vmm" count 1000 2>&1 >/dev/null)
	done
	result reload "$why"
}

vendor_reload()
{
	why=
	rmmod ttvm
	rmmod kvm_amd 2>/tmp/err || why=$(cat /tmp/err)
	[ -n "$why" ] || insmod "$ko" 2>/tmp/err || why="insmod without kvm_amd: $(cat /tmp/err)"
	[ -n "$why" ] || modprobe kvm_amd 2>/tmp/err || why="modprobe kvm_amd: $(cat /tmp/err)"
	[ -n "$why" ] || why=$("$vmm" count 1000 2>&1 >/dev/null)
	[ -n "$why" ] || { rmmod kvm_amd && modprobe kvm_amd; } 2>/tmp/err || why="kvm_amd again: $(cat /tmp/err)"
	[ -n "$why" ] || why=$("$vmm" count 1000 2>&1 >/dev/null)
	result vendor-module-comes-and-goes "$why"
}

no_nested_paging()
{
	why=
	rmmod kvm_amd && modprobe kvm_amd npt=0
	text=$("$vmm" count 1000 2>&1 >/dev/null)
	case $text in
	*"nested paging is off"*) ;;
	*) why="says '$text'" ;;
	esac
	rmmod kvm_amd && modprobe kvm_amd
	result refuses-npt-off "$why"
}

kernel_log()
{
	result kernel-log "$(dmesg | grep -E 'WARNING:|BUG:|Oops|rcu.*stall|Call Trace' | head -n 3 | tr '\n' ' ')"
}

kill_running
kill_idle
ways_to_end
rmmod_refused
two_vmms
reload
vendor_reload
no_nested_paging
kernel_log
exit $failed
