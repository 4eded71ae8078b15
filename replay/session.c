// SPDX-License-Identifier: GPL-2.0
/*
 * session.c - userspace's end of the module: attach a vCPU, map its page, set alarms (include/uapi/linux/ttvm.h).
 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

static int check_module(int fd, struct tt_error *err)
{
	struct ttvm_info info;

	if (ioctl(fd, TTVM_GET_INFO, &info) < 0)
		return tt_fail(err, -errno, TTVM_DEVICE ": %s; is it ttvm's device?", strerror(errno));
	if (info.abi_version != TTVM_ABI_VERSION)
		return tt_fail(err, -EPROTONOSUPPORT,
			       "ttvm.ko speaks version %u of the interface, this ttvm version %u; "
			       "load the module that belongs to it",
			       info.abi_version, TTVM_ABI_VERSION);
	if (info.why_not[0])
		return tt_fail(err, -ENODEV, "ttvm.ko cannot work here: %.95s", info.why_not);
	return 0;
}

int tt_session_open(struct tt_session *session, struct tt_vcpu *vcpu, const struct tt_pmu *pmu,
		    struct tt_error *err)
{
	struct ttvm_attach attach = {
		.vm_fd = vcpu->machine->vm_fd,
		.vcpu_fd = vcpu->fd,
		.branch_event = pmu->branch_event,
		.instr_event = pmu->instr_event,
	};
	char hint[256];
	int ret;

	session->page = NULL;
	session->fd = open(TTVM_DEVICE, O_RDWR | O_CLOEXEC);
	if (session->fd < 0 && errno == EACCES) {
		tt_access_hint(TTVM_DEVICE, hint, sizeof(hint));
		return tt_fail(err, -EACCES, TTVM_DEVICE ": permission denied; try %s", hint);
	}
	if (session->fd < 0) {
		ret = -errno;
		return tt_fail(err, ret, TTVM_DEVICE ": %s; recording and replaying need the kernel module: "
			       "`modprobe ttvm`, and `ttvm doctor` if that fails", strerror(errno));
	}
	ret = check_module(session->fd, err);
	if (ret)
		goto err_close;
	if (ioctl(session->fd, TTVM_ATTACH, &attach) < 0) {
		ret = tt_fail(err, -errno, "ttvm.ko refuses the vCPU: %.95s",
			      attach.why_not[0] ? attach.why_not : strerror(errno));
		goto err_close;
	}
	session->page = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
			     session->fd, 0);
	if (session->page == MAP_FAILED) {
		session->page = NULL;
		ret = tt_fail(err, -errno, "cannot map ttvm.ko's page: %s", strerror(errno));
		goto err_close;
	}
	return 0;

err_close:
	tt_session_close(session);
	return ret;
}

void tt_session_close(struct tt_session *session)
{
	if (session->page)
		munmap(session->page, sysconf(_SC_PAGESIZE));
	session->page = NULL;
	if (session->fd >= 0) {
		ioctl(session->fd, TTVM_DETACH);
		close(session->fd);
	}
	session->fd = -1;
}

int tt_session_alarm(struct tt_session *session, uint32_t counter, uint64_t target, struct tt_error *err)
{
	struct ttvm_alarm alarm = { .counter = counter, .target = target };

	if (ioctl(session->fd, TTVM_ALARM, &alarm) == 0)
		return 0;
	if (errno == EBUSY)
		return tt_fail(err, -EBUSY, "no free PMU counter for the alarm: try `sysctl "
			       "kernel.nmi_watchdog=0`, or end other users of perf");
	return tt_fail(err, -errno, "cannot set the PMU's alarm: %s", strerror(errno));
}

int tt_session_set_counts(struct tt_session *session, const struct ttvm_counts *counts, uint64_t rip)
{
	struct ttvm_counts args = *counts;

	if (ioctl(session->fd, TTVM_SET_COUNTS, &args) < 0)
		return -errno;
	/* As if the last exit had been here: no instruction is half done. */
	session->page->rip = rip;
	session->page->midway = 0;
	return 0;
}
