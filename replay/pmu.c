// SPDX-License-Identifier: GPL-2.0
/*
 * pmu.c - which PMU events count retired conditional branches and instructions, per microarchitecture, and how late an
 * overflow interrupt can be. The one table of the project.
 *
 * Sources: AMD PPR for family 17h/19h (PMCx0D1 "retired conditional branch instructions", PMCx0C0); Intel SDM vol. 3B
 * chapter 20 and the perfmon event lists (BR_INST_RETIRED.CONDITIONAL 0x01c4, .COND 0x11c4, Atom 0x7ec4); skid as
 * measured by the rr project.
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
	{ VENDOR_AMD, 0x17, 0x00, 0xff, { "AMD Zen/Zen 2", 0xd1, 0xc0, 10000, true, false } },
	{ VENDOR_AMD, 0x19, 0x00, 0xff, { "AMD Zen 3/Zen 4", 0xd1, 0xc0, 10000, true, false } },
	{ VENDOR_AMD, 0x1a, 0x00, 0xff, { "AMD Zen 5", 0xd1, 0xc0, 10000, true, false } },
	{ VENDOR_INTEL, 6, 0x3c, 0x3d, { "Intel Haswell/Broadwell", 0x01c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x3f, 0x3f, { "Intel Haswell-EP", 0x01c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x45, 0x47, { "Intel Haswell/Broadwell", 0x01c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x4e, 0x4f, { "Intel Skylake/Broadwell", 0x01c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x55, 0x56, { "Intel Skylake-SP/Broadwell-DE", 0x01c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x5e, 0x5e, { "Intel Skylake", 0x01c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x8e, 0x8e, { "Intel Kaby Lake", 0x01c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x9e, 0x9e, { "Intel Coffee Lake", 0x01c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0xa5, 0xa6, { "Intel Comet Lake", 0x01c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x6a, 0x6c, { "Intel Ice Lake-SP", 0x11c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x7d, 0x7e, { "Intel Ice Lake", 0x11c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x8c, 0x8d, { "Intel Tiger Lake", 0x11c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0x8f, 0x8f, { "Intel Sapphire Rapids", 0x11c4, 0xc0, 125, false, false } },
	{ VENDOR_INTEL, 6, 0xcf, 0xcf, { "Intel Emerald Rapids", 0x11c4, 0xc0, 125, false, false } },
};

/* The lab's emulated PMU (tools/lab): late by its skid knob at most, which tests set up to 50. */
static const struct tt_pmu lab_pmu = { "QEMU TCG (the lab)", 0xd1, 0xc0, 64, false, true };

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

const struct tt_pmu *tt_pmu_find(struct tt_error *err)
{
	unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0, family, model;
	int vendor;
	size_t i;

	if (is_emulator())
		return &lab_pmu;
	__get_cpuid(0, &eax, &ebx, &ecx, &edx);
	vendor = ebx == signature_AMD_ebx ? VENDOR_AMD : ebx == signature_INTEL_ebx ? VENDOR_INTEL : -1;
	__get_cpuid(1, &eax, &ebx, &ecx, &edx);
	family = (eax >> 8) & 0xf;
	model = (eax >> 4) & 0xf;
	if (family == 0xf || family == 6)
		model |= (eax >> 12) & 0xf0;
	if (family == 0xf)
		family += (eax >> 20) & 0xff;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].vendor == vendor && table[i].family == family &&
		    model >= table[i].model_first && model <= table[i].model_last)
			return &table[i].pmu;
	tt_fail(err, -ENODEV, "no PMU events are known that count exactly on this CPU (vendor %s, family "
		"0x%x, model 0x%x): recording and replaying need them",
		vendor == VENDOR_AMD ? "AMD" : vendor == VENDOR_INTEL ? "Intel" : "other", family, model);
	return NULL;
}
