// SPDX-License-Identifier: GPL-2.0
/*
 * pmu.c - which PMU events count retired conditional branches and instructions, per microarchitecture, how late an overflow
 * interrupt can be, and what is known to spoil the counts. The one table of the project; docs/pmu.md shows it with its sources.
 *
 * Events: AMD PPR for families 17h, 19h and 1Ah (PMCx0D1 "retired conditional branch instructions", PMCx0C0); Intel SDM vol.
 * 3B, chapter 20, and the perfmon event lists (BR_INST_RETIRED.CONDITIONAL 0x01c4 up to Comet Lake, .COND 0x11c4 from Ice Lake
 * on). Which model is which microarchitecture: the same, and Linux (arch/x86/events/intel/core.c, arch/x86/kernel/cpu/amd.c).
 * Skid: as measured by the rr project. CPUs with two kinds of cores (Alder Lake and later) are missing: a thread that changes
 * from one kind to the other takes no counter along.
 *
 * Errata:
 *   SPEC_LOCK_MAP  AMD Zen and later speculate on locked accesses, and do not take back what was counted when they were wrong.
 *                  MSR C001_1020 (LS_CFG), bit 54 switches it off. https://github.com/rr-debugger/rr/issues/2034
 *   LS_CFG_SHARED  AMD Zen and Zen+ have Speculative Store Bypass Disable in the same MSR, bit 10, which Linux rewrites at
 *                  context switches, and bit 54 with it, if SSBD is a choice of each process. Zen 2 and later have another MSR for it.
 *                  https://github.com/rr-debugger/rr/pull/2690, https://github.com/jlgreathouse/AMD_IBS_Toolkit/issues/5
 *   SMI            Intel Comet Lake and later: counters go on in system management mode, unless FREEZE_WHILE_SMM (bit 14 of
 *                  IA32_DEBUGCTL, SDM vol. 3B, 17.4.1) is set; that it matters is what the rr project saw
 */
#include <cpuid.h>
#include <stddef.h>
#include <string.h>

#include "replay.h"

enum { VENDOR_AMD, VENDOR_INTEL };

static const struct {
	int vendor;
	unsigned int family, model_first, model_last;
	struct tt_pmu pmu;
} table[] = {
	{ VENDOR_AMD, 0x17, 0x00, 0x2f, { "AMD Zen/Zen+", 0xd1, 0xc0, 10000, TT_ERRATUM_SPEC_LOCK_MAP | TT_ERRATUM_LS_CFG_SHARED, false } },
	{ VENDOR_AMD, 0x17, 0x30, 0xff, { "AMD Zen 2", 0xd1, 0xc0, 10000, TT_ERRATUM_SPEC_LOCK_MAP, false } },
	{ VENDOR_AMD, 0x19, 0x00, 0x0f, { "AMD Zen 3", 0xd1, 0xc0, 10000, TT_ERRATUM_SPEC_LOCK_MAP, false } },
	{ VENDOR_AMD, 0x19, 0x10, 0x1f, { "AMD Zen 4", 0xd1, 0xc0, 10000, TT_ERRATUM_SPEC_LOCK_MAP, false } },
	{ VENDOR_AMD, 0x19, 0x20, 0x5f, { "AMD Zen 3", 0xd1, 0xc0, 10000, TT_ERRATUM_SPEC_LOCK_MAP, false } },
	{ VENDOR_AMD, 0x19, 0x60, 0xff, { "AMD Zen 4", 0xd1, 0xc0, 10000, TT_ERRATUM_SPEC_LOCK_MAP, false } },
	{ VENDOR_AMD, 0x1a, 0x00, 0xff, { "AMD Zen 5", 0xd1, 0xc0, 10000, TT_ERRATUM_SPEC_LOCK_MAP, false } },
	{ VENDOR_INTEL, 6, 0x3c, 0x3c, { "Intel Haswell", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x3d, 0x3d, { "Intel Broadwell", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x3f, 0x3f, { "Intel Haswell-EP", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x45, 0x46, { "Intel Haswell", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x47, 0x47, { "Intel Broadwell", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x4e, 0x4e, { "Intel Skylake", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x4f, 0x4f, { "Intel Broadwell-EP", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x55, 0x55, { "Intel Skylake-SP", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x56, 0x56, { "Intel Broadwell-DE", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x5e, 0x5e, { "Intel Skylake", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x8e, 0x8e, { "Intel Kaby Lake", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0x9e, 0x9e, { "Intel Coffee Lake", 0x01c4, 0xc0, 125, 0, false } },
	{ VENDOR_INTEL, 6, 0xa5, 0xa6, { "Intel Comet Lake", 0x01c4, 0xc0, 125, TT_ERRATUM_SMI, false } },
	{ VENDOR_INTEL, 6, 0x6a, 0x6c, { "Intel Ice Lake-SP", 0x11c4, 0xc0, 125, TT_ERRATUM_SMI, false } },
	{ VENDOR_INTEL, 6, 0x7d, 0x7e, { "Intel Ice Lake", 0x11c4, 0xc0, 125, TT_ERRATUM_SMI, false } },
	{ VENDOR_INTEL, 6, 0x8c, 0x8d, { "Intel Tiger Lake", 0x11c4, 0xc0, 125, TT_ERRATUM_SMI, false } },
	{ VENDOR_INTEL, 6, 0xa7, 0xa7, { "Intel Rocket Lake", 0x11c4, 0xc0, 125, TT_ERRATUM_SMI, false } },
	{ VENDOR_INTEL, 6, 0x8f, 0x8f, { "Intel Sapphire Rapids", 0x11c4, 0xc0, 125, TT_ERRATUM_SMI, false } },
	{ VENDOR_INTEL, 6, 0xcf, 0xcf, { "Intel Emerald Rapids", 0x11c4, 0xc0, 125, TT_ERRATUM_SMI, false } },
};

/* The lab's emulated PMU (tools/lab): late by its skid knob at most, which tests set up to 50. */
static const struct tt_pmu lab_pmu = { "QEMU TCG (the lab)", 0xd1, 0xc0, 64, 0, true };

static bool is_emulator(void)
{
	unsigned int eax, ebx, ecx, edx;
	char signature[13] = "";

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & (1u << 31)))
		return false;
	__cpuid(0x40000000, eax, ebx, ecx, edx);
	memcpy(signature, &ebx, 4);
	memcpy(signature + 4, &ecx, 4);
	memcpy(signature + 8, &edx, 4);
	return !strcmp(signature, "TCGTCGTCGTCG");
}

const struct tt_pmu *tt_pmu_of(const char *vendor, unsigned int family, unsigned int model)
{
	int number = !strcmp(vendor, "AuthenticAMD") ? VENDOR_AMD : !strcmp(vendor, "GenuineIntel") ? VENDOR_INTEL : -1;
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].vendor == number && table[i].family == family && model >= table[i].model_first &&
		    model <= table[i].model_last)
			return &table[i].pmu;
	return NULL;
}

const struct tt_pmu *tt_pmu_find(struct tt_error *err)
{
	unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0, family, model;
	const struct tt_pmu *pmu;
	char vendor[13] = "";

	if (is_emulator())
		return &lab_pmu;
	__get_cpuid(0, &eax, &ebx, &ecx, &edx);
	memcpy(vendor, &ebx, 4);
	memcpy(vendor + 4, &edx, 4);
	memcpy(vendor + 8, &ecx, 4);
	__get_cpuid(1, &eax, &ebx, &ecx, &edx);
	family = (eax >> 8) & 0xf;
	model = (eax >> 4) & 0xf;
	if (family == 0xf || family == 6)
		model |= (eax >> 12) & 0xf0;
	if (family == 0xf)
		family += (eax >> 20) & 0xff;
	pmu = tt_pmu_of(vendor, family, model);
	if (!pmu)
		tt_fail(err, -ENODEV, "no PMU events are known that count exactly on this CPU (vendor %s, family 0x%x, model 0x%x): "
			"recording and replaying need them", vendor, family, model);
	return pmu;
}
