// SPDX-License-Identifier: GPL-2.0
/*
 * doctor_pmu.c - checks of the performance counters, and of what is known to disturb them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "doctor.h"

#define LOOPS 1000000
#define LOOPS_SLACK 5000 /* branches of the C library around the loop */
#define DEFAULT_SAMPLE_RATE 100000

/* AMD: LS_CFG, and the bit that switches the SpecLockMap optimization off */
#define MSR_LS_CFG 0xc0011020
#define SPEC_LOCK_MAP_OFF (1ull << 54)

void check_pmu_model(struct checkup *c)
{
	struct tt_error err = { 0 };

	c->pmu = tt_pmu_find(&err);
	if (c->pmu)
		check_ok(c, "pmu-model", "%s: conditional branches are raw event 0x%llx, an alarm may be %llu "
			 "branches late", c->pmu->name, (unsigned long long)c->pmu->branch_event,
			 (unsigned long long)c->pmu->skid);
	else
		check_failed(c, "pmu-model", "another machine, or a new row in replay/pmu.c",
			     "%s", err.text);
}

/* ------------------------------------------------------------------ three free counters */

/* On this thread, in user mode; with a period that never elapses it is a sampling event. */
static int open_event(uint64_t config, bool sampling)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_RAW,
		.size = sizeof(attr),
		.config = config,
		.sample_period = sampling ? 1ull << 40 : 0,
		.pinned = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void count_loop(void)
{
	uint64_t n = LOOPS;

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(n) : : "cc");
}

/* False when the pinned event is not on the PMU: it reads as end of file then. */
static bool read_event(int fd, uint64_t *value)
{
	return read(fd, value, sizeof(*value)) == sizeof(*value);
}

static void no_event(struct checkup *c, int error)
{
	if (error == EACCES || error == EPERM)
		check_warning(c, "pmu-counters", "running ttvm doctor as root",
			      "this user may not look at the counters (perf_event_open: %s)",
			      strerror(error));
	else
		check_failed(c, "pmu-counters", "switching on the virtual PMU in the hypervisor above "
			     "(QEMU: -cpu host,pmu=on), or bare metal",
			     "there are no hardware performance counters (perf_event_open: %s)",
			     strerror(error));
}

static void count_with(struct checkup *c, int branches, int instructions, int alarm)
{
	uint64_t before, after, ignored;
	bool good = read_event(branches, &before);

	count_loop();
	if (!good || !read_event(branches, &after) || !read_event(instructions, &ignored) ||
	    !read_event(alarm, &ignored))
		check_failed(c, "pmu-counters", "sysctl kernel.nmi_watchdog=0; end perf and other "
			     "profilers", "three counters are needed at once, and fewer are free");
	else if (after - before < LOOPS || after - before > LOOPS + LOOPS_SLACK)
		check_failed(c, "pmu-counters", "bare metal, or another hypervisor above",
			     "the branch counter says %llu for a loop of %d branches",
			     (unsigned long long)(after - before), LOOPS);
	else
		check_ok(c, "pmu-counters", "three counters are free, and count this process");
}

void check_counters(struct checkup *c)
{
	int branches, instructions, alarm;

	if (!c->pmu)
		return;
	branches = open_event(c->pmu->branch_event, false);
	if (branches < 0) {
		no_event(c, errno);
		return;
	}
	instructions = open_event(c->pmu->instr_event, false);
	alarm = open_event(c->pmu->branch_event, true);
	if (instructions < 0 || alarm < 0)
		no_event(c, errno);
	else
		count_with(c, branches, instructions, alarm);
	close(branches);
	if (instructions >= 0)
		close(instructions);
	if (alarm >= 0)
		close(alarm);
}

/* ------------------------------------------------------------------ what disturbs them */

void check_nmi_watchdog(struct checkup *c)
{
	char value[16];

	if (read_line("/proc/sys/kernel/nmi_watchdog", value, sizeof(value)) || value[0] == '0')
		check_ok(c, "nmi-watchdog", "the kernel's NMI watchdog holds no counter");
	else
		check_warning(c, "nmi-watchdog", "sysctl kernel.nmi_watchdog=0",
			      "the kernel's NMI watchdog holds one counter of each CPU");
}

void check_throttling(struct checkup *c)
{
	char percent[16], rate[16];

	if (read_line("/proc/sys/kernel/perf_cpu_time_max_percent", percent, sizeof(percent)) ||
	    read_line("/proc/sys/kernel/perf_event_max_sample_rate", rate, sizeof(rate)))
		return;
	if (strtoul(rate, NULL, 10) >= DEFAULT_SAMPLE_RATE || !strcmp(percent, "0"))
		check_ok(c, "perf-throttling", "perf allows %s interrupts a second%s", rate,
			 strcmp(percent, "0") ? "" : " and never lowers that");
	else
		check_warning(c, "perf-throttling",
			      "sysctl kernel.perf_cpu_time_max_percent=0 "
			      "kernel.perf_event_max_sample_rate=100000",
			      "the kernel has lowered perf's sample rate to %s a second, because its "
			      "interrupts take long here: alarms may be throttled", rate);
}

void check_paranoid(struct checkup *c)
{
	char value[16];

	if (!read_line("/proc/sys/kernel/perf_event_paranoid", value, sizeof(value)))
		check_ok(c, "perf-paranoid", "kernel.perf_event_paranoid is %s, which does not matter: "
			 "ttvm.ko counts", value);
}

/* ------------------------------------------------------------------ errata */

static int read_msr(int cpu, uint32_t index, uint64_t *value)
{
	char path[64];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pread(fd, value, sizeof(*value), index) != sizeof(*value))
		ret = -EIO;
	close(fd);
	return ret;
}

/* Zen speculates on locked accesses, and counts branches twice when it was wrong. */
void check_spec_lock_map(struct checkup *c)
{
	long cpu, cpus = sysconf(_SC_NPROCESSORS_CONF);
	char next[128];
	uint64_t value;

	if (!c->pmu || !c->pmu->spec_lock_map)
		return;
	for (cpu = 0; cpu < cpus; cpu++) {
		int ret = read_msr(cpu, MSR_LS_CFG, &value);

		if (ret == -ENXIO)
			continue; /* that CPU is offline */
		if (ret) {
			check_warning(c, "spec-lock-map", "modprobe msr, and ttvm doctor again as root",
				      "whether SpecLockMap is off (MSR 0x%x, bit 54) cannot be read: %s; "
				      "while it is on, branches are over-counted next to locked accesses",
				      MSR_LS_CFG, strerror(-ret));
			return;
		}
		if (!(value & SPEC_LOCK_MAP_OFF)) {
			snprintf(next, sizeof(next), "wrmsr -a 0x%x 0x%llx (package msr-tools)",
				 MSR_LS_CFG, (unsigned long long)(value | SPEC_LOCK_MAP_OFF));
			check_failed(c, "spec-lock-map", next,
				     "SpecLockMap is on (CPU %ld: MSR 0x%x is 0x%llx): branches are "
				     "over-counted next to locked accesses", cpu, MSR_LS_CFG,
				     (unsigned long long)value);
			return;
		}
	}
	check_ok(c, "spec-lock-map", "SpecLockMap is off on all CPUs");
}

void check_smi(struct checkup *c)
{
	char value[16];

	/* Intel only */
	if (read_line("/sys/devices/cpu/freeze_on_smi", value, sizeof(value)))
		return;
	if (value[0] == '1')
		check_ok(c, "smi", "counters stand still during system management interrupts");
	else
		check_warning(c, "smi", "echo 1 > /sys/devices/cpu/freeze_on_smi",
			      "firmware may move the counters: they run during system management "
			      "interrupts");
}
