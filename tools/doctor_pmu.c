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
#define SPEC_LOCK_MAP_BIT 54
/* AMD PPR, PMCx025 "retired lock instructions", unit mask 8: committed by way of SpecLockMap */
#define EVENT_SPEC_LOCK_MAP_COMMIT 0x0825
#define LOCKED_ACCESSES 1000

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

/* Do locked accesses of this process retire by way of SpecLockMap? -errno when that cannot be counted. */
static int uses_spec_lock_map(void)
{
	int fd = open_event(EVENT_SPEC_LOCK_MAP_COMMIT, false), i;
	uint64_t word = 0, before, after;
	bool good;

	if (fd < 0)
		return -errno;
	good = read_event(fd, &before);
	for (i = 0; i < LOCKED_ACCESSES; i++)
		__asm__ volatile("lock incq %0" : "+m"(word) : : "cc");
	good = read_event(fd, &after) && good;
	close(fd);
	return good ? after - before >= LOCKED_ACCESSES / 2 : -EBUSY;
}

/*
 * On Zen and Zen+, Linux keeps SSBD in the same MSR and writes all of it when a process changes its mind about that, with what was
 * in the other bits at boot. It never does so when SSBD is on, or off, for everybody.
 */
static void spec_lock_map_is_off(struct checkup *c)
{
	char mitigation[128];

	if (c->pmu->errata & TT_ERRATUM_LS_CFG_SHARED &&
	    !read_line("/sys/devices/system/cpu/vulnerabilities/spec_store_bypass", mitigation, sizeof(mitigation)) &&
	    strstr(mitigation, "prctl"))
		check_warning(c, "spec-lock-map", "booting with spec_store_bypass_disable=off, or =on",
			      "SpecLockMap is off, but this kernel may switch it on again: on this CPU Speculative Store Bypass "
			      "Disable, which each process can choose, is in the same MSR");
	else
		check_ok(c, "spec-lock-map", "SpecLockMap is off");
}

static void spec_lock_map_is_on(struct checkup *c)
{
	char next[160];
	uint64_t value;

	if (read_msr(0, MSR_LS_CFG, &value))
		snprintf(next, sizeof(next), "modprobe msr; wrmsr -a 0x%x $(($(rdmsr -c 0x%x) | 1 << %d)) "
			 "(package msr-tools)", MSR_LS_CFG, MSR_LS_CFG, SPEC_LOCK_MAP_BIT);
	else
		snprintf(next, sizeof(next), "wrmsr -a 0x%x 0x%llx (package msr-tools)", MSR_LS_CFG,
			 (unsigned long long)(value | 1ull << SPEC_LOCK_MAP_BIT));
	check_failed(c, "spec-lock-map", next, "SpecLockMap is on (MSR 0x%x, bit %d is not set): branches are "
		     "over-counted next to locked accesses", MSR_LS_CFG, SPEC_LOCK_MAP_BIT);
}

/*
 * Zen speculates on locked accesses, and counts branches twice when it was wrong. What commits that way can be counted,
 * as rr does at its start; the MSR that switches it off is looked at where it cannot.
 */
void check_spec_lock_map(struct checkup *c)
{
	uint64_t value;
	int used, ret;

	if (!c->pmu || !(c->pmu->errata & TT_ERRATUM_SPEC_LOCK_MAP))
		return;
	used = uses_spec_lock_map();
	if (used == -ENOENT)
		return; /* no PMU at all, which check_counters() has said */
	if (used == 0) {
		spec_lock_map_is_off(c);
	} else if (used > 0) {
		spec_lock_map_is_on(c);
	} else {
		ret = read_msr(0, MSR_LS_CFG, &value);
		if (ret)
			check_warning(c, "spec-lock-map", "modprobe msr, and ttvm doctor again as root",
				      "whether SpecLockMap is off (MSR 0x%x, bit %d) cannot be read: %s; "
				      "while it is on, branches are over-counted next to locked accesses",
				      MSR_LS_CFG, SPEC_LOCK_MAP_BIT, strerror(-ret));
		else if (value & 1ull << SPEC_LOCK_MAP_BIT)
			spec_lock_map_is_off(c);
		else
			spec_lock_map_is_on(c);
	}
}

void check_smi(struct checkup *c)
{
	char value[16];

	/* Intel only */
	if (read_line("/sys/devices/cpu/freeze_on_smi", value, sizeof(value)))
		return;
	if (value[0] == '1')
		check_ok(c, "smi", "counters stand still during system management interrupts");
	else if (c->pmu && !(c->pmu->errata & TT_ERRATUM_SMI))
		check_ok(c, "smi", "counters run during system management interrupts, which is not known to matter on this CPU");
	else
		check_warning(c, "smi", "echo 1 > /sys/devices/cpu/freeze_on_smi",
			      "firmware may move the counters: they run during system management "
			      "interrupts");
}
