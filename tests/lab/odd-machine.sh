#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# odd-machine.sh - on a test machine that lacks something: ttvm says what, with status 1, when it is asked to record; and
# runs guests without recording as long as there is KVM.
#
# usage: odd-machine.sh no-module|no-nested-paging|no-counters|no-svm|no-pmu

. ./lib.sh
GUEST=guests/rep

# refuses PATTERN [COMMAND...]
refuses()
{
	local pattern=$1
	shift
	expect record-is-refused 1 "$pattern" "$@" ttvm run $GUEST --mem 32M --record=rec.log
	expect doctor-says-so 1 . "$@" sh -c 'ttvm doctor >doctor.out 2>&1; s=$?; cat doctor.out >&2; exit $s'
}

still_runs()
{
	expect still-runs-guests 0 '^ttvm: ran' "$@" ttvm run $GUEST --mem 32M --guest-status
}

case $1 in
no-module)
	refuses 'ttvm.ko|/dev/ttvm'
	still_runs
	rm -f /dev/kvm
	expect no-dev-kvm 1 '/dev/kvm' ttvm run $GUEST --mem 32M
	mknod /dev/kvm c 1 3
	expect kvm-is-something-else 1 'kvm' ttvm run $GUEST --mem 32M
	;;
no-nested-paging)
	rmmod ttvm kvm_amd && modprobe kvm_amd npt=0 && insmod /lab/ttvm.ko || {
		skipped no-nested-paging "KVM cannot be loaded without it"
		exit
	}
	refuses 'nested paging|npt'
	;;
no-counters)
	# All counters of each CPU in use by others: none, then one, then two are left.
	for spare in 0 1 2; do
		expect "record-with-$spare-counters" 1 'counter' \
			./perf-hog $spare ttvm run $GUEST --mem 32M --record=rec.log
	done
	still_runs ./perf-hog 0
	if echo 1 2>/dev/null >/proc/sys/kernel/nmi_watchdog && [ "$(cat /proc/sys/kernel/nmi_watchdog)" = 1 ]; then
		# One counter less; three are needed of six.
		expect record-beside-nmi-watchdog 0 'recorded instr=' \
			ttvm run $GUEST --mem 32M --record=rec.log --console none --guest-status
		expect replay-beside-nmi-watchdog 0 'verified instr=' ttvm verify rec.log
		expect record-with-watchdog-and-others 1 'nmi_watchdog|counter' \
			./perf-hog 2 ttvm run $GUEST --mem 32M --record=rec.log
	else
		skipped nmi-watchdog "this machine has none"
	fi
	;;
no-svm)
	refuses '/dev/kvm|KVM|virtualization'
	expect run-is-refused 1 '/dev/kvm|KVM' ttvm run $GUEST --mem 32M
	;;
no-pmu)
	refuses 'PMU|counter|not known'
	still_runs
	;;
*)
	not_ok "$1" "unknown kind of machine"
	;;
esac
[ "$FAILED" = 0 ]
