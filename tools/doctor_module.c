// SPDX-License-Identifier: GPL-2.0
/*
 * doctor_module.c - checks of ttvm.ko, and of what matters most: that counts, alarms and landings
 * are exact.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ttvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor.h"
#include "selftest.h"

#define COUNT_RUNS 5
#define LAND_RUNS 2

static void module_missing(struct checkup *c)
{
	char lockdown[64] = "", next[160];
	struct utsname host;

	uname(&host);
	if (access("/proc/modules", F_OK)) {
		check_failed(c, "module", "a stock distribution's kernel, or tools/lab/run -- COMMAND",
			     TTVM_DEVICE ": ttvm.ko is not loaded, and this kernel cannot load modules");
		return;
	}
	read_line("/sys/kernel/security/lockdown", lockdown, sizeof(lockdown));
	if (strstr(lockdown, "[integrity]") || strstr(lockdown, "[confidentiality]")) {
		check_failed(c, "module",
			     "mokutil --import /var/lib/dkms/mok.pub, then booting again (docs/install.md, Secure Boot)",
			     TTVM_DEVICE ": ttvm.ko is not loaded, and the kernel is locked down: it loads signed "
			     "modules only");
		return;
	}
	snprintf(next, sizeof(next), "modprobe ttvm, or insmod build/kmod/%.65s/ttvm.ko",
		 host.release);
	check_failed(c, "module", next, TTVM_DEVICE ": ttvm.ko is not loaded");
}

void check_module(struct checkup *c)
{
	struct ttvm_info info;
	int fd = open(TTVM_DEVICE, O_RDWR | O_CLOEXEC), error;
	char next[256];

	if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV)) {
		module_missing(c);
		return;
	}
	if (fd < 0) {
		error = errno;
		if (error == EACCES)
			tt_access_hint(TTVM_DEVICE, next, sizeof(next));
		check_failed(c, "module", error == EACCES ? next : "dmesg | tail", TTVM_DEVICE ": %s", strerror(error));
		return;
	}
	error = ioctl(fd, TTVM_GET_INFO, &info) < 0 ? errno : 0;
	close(fd);
	if (error)
		check_failed(c, "module", "ls -l " TTVM_DEVICE, TTVM_DEVICE " is not ttvm.ko's: %s",
			     strerror(error));
	else if (info.abi_version != TTVM_ABI_VERSION)
		check_failed(c, "module", "rmmod ttvm, then loading the module that was built with this ttvm",
			     "ttvm.ko speaks version %u of the interface, this ttvm version %u",
			     info.abi_version, TTVM_ABI_VERSION);
	else if (info.why_not[0])
		check_failed(c, "module", "what the failed checks above say",
			     "ttvm.ko cannot work here: %.95s", info.why_not);
	else {
		c->module_works = true;
		check_ok(c, "module", "ttvm.ko is loaded, interface version %u, %u counters, %u vCPU%s "
			 "attached", info.abi_version, info.num_counters, info.sessions,
			 info.sessions == 1 ? "" : "s");
	}
}

/* ------------------------------------------------------------------ the self-test */

/* What to try when the self-test's guest does not run. */
static const char *next_after(const struct tt_error *err)
{
	return err->code == -EBUSY ? "sysctl kernel.nmi_watchdog=0; end perf and other profilers" :
				     "dmesg | tail";
}

/* Says so when the self-test cannot be made for reasons that other checks have named. */
static bool can_test(struct checkup *c, const char *name)
{
	if (c->kvm_works && c->module_works && c->pmu)
		return true;
	check_warning(c, name, "ttvm doctor again, when the failed checks above are mended",
		      "not tested: this needs KVM, ttvm.ko and a known PMU");
	return false;
}

void check_counting(struct checkup *c)
{
	struct tt_selftest_result r, first = { 0 };
	struct tt_error err = { 0 };
	int i;

	if (!can_test(c, "counting"))
		return;
	for (i = 0; i < COUNT_RUNS; i++) {
		if (tt_selftest_run(TT_SELFTEST_COUNT, c->pmu, &r, &err)) {
			check_failed(c, "counting", next_after(&err),
				     "a counted guest does not run: %s", err.text);
			return;
		}
		if (!i)
			first = r;
		if (r.branches != r.branches_expected) {
			check_failed(c, "counting", "the checks above on errata; bare metal",
				     "run %d of a guest with %llu conditional branches counted %llu", i + 1,
				     (unsigned long long)r.branches_expected,
				     (unsigned long long)r.branches);
			return;
		}
		if (r.rdtsc != r.rdtsc_expected || r.registers != first.registers) {
			check_failed(c, "counting", "dmesg | tail",
				     "the virtual clock is not the same in every run (run %d: %llu of %llu "
				     "RDTSC were answered)", i + 1, (unsigned long long)r.rdtsc,
				     (unsigned long long)r.rdtsc_expected);
			return;
		}
		if (r.instructions != r.instructions_expected) {
			check_warning(c, "counting", "using --to-event, which is exact, to stop a replay",
				      "branches are exact, instruction numbers are not: %llu counted, %llu "
				      "executed", (unsigned long long)r.instructions,
				      (unsigned long long)r.instructions_expected);
			return;
		}
	}
	check_ok(c, "counting", "%d runs: %llu branches, %llu instructions and the clock exact each time",
		 COUNT_RUNS, (unsigned long long)r.branches, (unsigned long long)r.instructions);
}

void check_landing(struct checkup *c)
{
	unsigned int alarms = 0, lost = 0, landings = 0, missed = 0;
	struct tt_selftest_result r;
	struct tt_error err = { 0 };
	uint64_t lateness = 0, hits = 0;
	int i;

	if (!can_test(c, "landing"))
		return;
	for (i = 0; i < LAND_RUNS; i++) {
		if (tt_selftest_run(TT_SELFTEST_LAND, c->pmu, &r, &err)) {
			check_failed(c, "landing", next_after(&err),
				     "a guest with alarms does not run: %s", err.text);
			return;
		}
		alarms += r.alarms;
		lost += r.alarms_lost;
		landings += r.landings;
		missed += r.landings_missed;
		hits += r.breakpoint_hits;
		if (r.lateness > lateness)
			lateness = r.lateness;
	}
	if (missed || !landings)
		check_failed(c, "landing", "ttvm replay --margin 20000, if only alarms are late",
			     "%u of %u positions were missed: the latest alarm came %llu branches late, the "
			     "margin is %llu",
			     missed, missed + landings, (unsigned long long)lateness,
			     (unsigned long long)r.margin);
	else if (lost)
		check_warning(c, "landing", "sysctl kernel.perf_cpu_time_max_percent=0",
			      "all %u positions were reached, but %u of %u alarms were lost on the way",
			      landings, lost, alarms + lost);
	else
		check_ok(c, "landing", "%u of %u positions reached exactly, the latest alarm %llu branches "
			 "late (margin %llu), %.0f breakpoint hits each", landings, landings,
			 (unsigned long long)lateness, (unsigned long long)r.margin,
			 (double)hits / landings);
}
