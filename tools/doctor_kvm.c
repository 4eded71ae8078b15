// SPDX-License-Identifier: GPL-2.0
/*
 * doctor_kvm.c - checks of the CPU and of KVM: is it there, is it done by hardware, does a guest
 * run.
 */
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "doctor.h"
#include "selftest.h"

#define CPUID_1_ECX_VMX (1u << 5)
#define CPUID_1_ECX_HYPERVISOR (1u << 31)
#define CPUID_80000001_ECX_SVM (1u << 2)
#define CPUID_80000007_EDX_INVARIANT_TSC (1u << 8)

#define USE_THE_LAB "a machine with hardware virtualization (bare metal, or nested virtualization " \
		    "switched on in the hypervisor above), or the emulated one: tools/lab/run -- COMMAND"

static bool cpu_has_svm(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & CPUID_80000001_ECX_SVM);
}

static bool cpu_has_vmx(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & CPUID_1_ECX_VMX);
}

/* The name that the hypervisor above gives itself; "" on bare metal. */
static void hypervisor_name(char name[13])
{
	unsigned int a, b, c, d;

	name[0] = name[12] = '\0';
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & CPUID_1_ECX_HYPERVISOR))
		return;
	__cpuid(0x40000000, a, b, c, d);
	memcpy(name, &b, 4);
	memcpy(name + 4, &c, 4);
	memcpy(name + 8, &d, 4);
	if (!name[0])
		strcpy(name, "unnamed");
}

void check_cpu(struct checkup *c)
{
	unsigned int brand[12] = { 0 }, i;
	char above[13];

	for (i = 0; i < 3; i++)
		__get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2],
			    &brand[4 * i + 3]);
	hypervisor_name(above);
	if (cpu_has_svm() || cpu_has_vmx())
		check_ok(c, "cpu", "%.47s offers %s%s%s", (char *)brand,
			 cpu_has_svm() ? "SVM" : "VMX",
			 above[0] ? ", inside a virtual machine of " : "", above);
	else if (above[0])
		check_failed(c, "cpu", USE_THE_LAB,
			     "%.47s shows neither SVM nor VMX to this virtual machine of %s",
			     (char *)brand, above);
	else
		check_failed(c, "cpu", "switching virtualization on in the firmware",
			     "%.47s shows neither SVM nor VMX", (char *)brand);
}

void check_tsc(struct checkup *c)
{
	unsigned int a, b, ecx, d;
	char clock[32] = "";

	read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", clock,
		  sizeof(clock));
	if (!strcmp(clock, "tsc"))
		check_ok(c, "tsc", "the kernel itself keeps time by the time stamp counter");
	else if (__get_cpuid(0x80000007, &a, &b, &ecx, &d) &&
		 (d & CPUID_80000007_EDX_INVARIANT_TSC))
		check_ok(c, "tsc", "the time stamp counter runs at a constant rate");
	else
		check_warning(c, "tsc", "booting with tsc=reliable, if you know that it does",
			      "the CPU does not promise a time stamp counter of constant rate: guests' "
			      "clocks may drift while recording");
}

void check_kvm(struct checkup *c)
{
	struct tt_error err = { 0 };
	const char *next;
	char hint[256];
	int fd = tt_kvm_open(&err), breakpoints;

	if (fd < 0) {
		if (err.code == -ENOENT)
			next = cpu_has_svm() ? "modprobe kvm_amd" :
			       cpu_has_vmx() ? "modprobe kvm_intel" : USE_THE_LAB;
		else if (err.code == -EACCES) {
			tt_access_hint("/dev/kvm", hint, sizeof(hint));
			next = hint;
		} else
			next = "a stock kernel, Linux 6.1 or newer";
		if (err.code == -ENOTSUP)
			check_failed(c, "kvm", next, "%s", err.text);
		else
			check_failed(c, "kvm", next, "/dev/kvm cannot be opened: %s",
				     strerror(-err.code));
		return;
	}
	breakpoints = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG);
	close(fd);
	if (breakpoints <= 0) {
		check_failed(c, "kvm", "a stock kernel, Linux 6.1 or newer",
			     "/dev/kvm: this KVM lacks KVM_CAP_SET_GUEST_DEBUG: no breakpoints in the guest");
		return;
	}
	c->kvm_works = true;
	check_ok(c, "kvm", "/dev/kvm opens and has all capabilities that are needed");
}

void check_kvm_kind(struct checkup *c)
{
	bool amd = !access("/sys/module/kvm_amd", F_OK);
	bool intel = !access("/sys/module/kvm_intel", F_OK);
	bool pvm = !access("/sys/module/kvm_pvm", F_OK);

	if (!c->kvm_works)
		return;
	if (pvm || (!cpu_has_svm() && !cpu_has_vmx()))
		check_failed(c, "kvm-kind", USE_THE_LAB,
			     "this is a software KVM%s: guests run, but nothing counts their branches",
			     pvm ? " (PVM, module kvm_pvm)" : "");
	else if (amd)
		check_ok(c, "kvm-kind", "hardware: AMD SVM through kvm_amd");
	else if (intel)
		check_ok(c, "kvm-kind", "hardware: Intel VMX through kvm_intel");
	else
		check_warning(c, "kvm-kind", "ls /sys/module | grep kvm",
			      "/dev/kvm works, but neither kvm_amd nor kvm_intel is loaded");
}

void check_nested_paging(struct checkup *c)
{
	static const struct {
		const char *path;
		const char *what;
		const char *reload;
	} vendors[] = {
		{ "/sys/module/kvm_amd/parameters/npt", "nested page tables (npt)",
		  "modprobe -r kvm_amd && modprobe kvm_amd npt=1" },
		{ "/sys/module/kvm_intel/parameters/ept", "extended page tables (ept)",
		  "modprobe -r kvm_intel && modprobe kvm_intel ept=1" },
	};
	char value[16];
	size_t i;

	for (i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
		if (read_line(vendors[i].path, value, sizeof(value)))
			continue;
		if (value[0] == 'Y' || value[0] == '1')
			check_ok(c, "nested-paging", "%s are on", vendors[i].what);
		else
			check_failed(c, "nested-paging", vendors[i].reload,
				     "%s are off: without them KVM emulates some of the guest's "
				     "instructions, others in every run", vendors[i].what);
	}
}

void check_guest(struct checkup *c)
{
	struct tt_selftest_result result;
	struct tt_error err = { 0 };

	if (!c->kvm_works)
		return;
	if (tt_selftest_run(TT_SELFTEST_PLAIN, NULL, &result, &err))
		check_failed(c, "guest", err.code == -EOPNOTSUPP ? USE_THE_LAB : "dmesg | tail",
			     "a tiny guest does not run: %s", err.text);
	else
		check_ok(c, "guest", "a tiny guest runs to its end");
}
