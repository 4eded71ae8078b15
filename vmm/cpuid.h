/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cpuid.h - what cpuid.c and cpuid_features.c share; nobody else includes it but their unit test.
 */
#ifndef TTVM_VMM_CPUID_H
#define TTVM_VMM_CPUID_H

#include "vmm.h"

enum { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

/* What becomes of a feature bit. A bit that the table does not name is hidden. */
enum tt_cpu_policy {
	CPU_REQUIRED,	/* every model has it; a host without it cannot run ttvm guests */
	CPU_V3,		/* as CPU_REQUIRED in model x86-64-v3, hidden in x86-64-v2; host: offered if all of them can be */
	CPU_OPTIONAL,	/* offered when the recording host's KVM supports it */
	CPU_HOST,	/* model host: as CPU_OPTIONAL; hidden in the others */
	CPU_HOST_AVX,	/* as CPU_HOST, where those of CPU_V3 are offered */
	CPU_PROVIDED,	/* always offered, whatever KVM says: vmm/ implements it */
	CPU_HIDDEN,	/* never offered; docs/cpu.md says why */
};

struct tt_cpu_feature {
	const char *name;	/* as in /proc/cpuinfo where Linux has a name */
	uint32_t function;
	uint32_t index;
	uint8_t reg;
	uint8_t bit;
	enum tt_cpu_policy policy;
};

extern const struct tt_cpu_feature tt_cpu_features[];
extern const size_t tt_cpu_num_features;

/* tt_cpuid_create() and tt_cpuid_check() with KVM's supported table given: need no KVM. */
int tt_cpuid_narrow(const struct kvm_cpuid2 *supported, const char *model, uint64_t tsc_hz,
		    struct kvm_cpuid2 **cpuid, struct tt_error *err);
int tt_cpuid_compare(const struct kvm_cpuid2 *supported, const struct kvm_cpuid2 *cpuid, const char *model,
		     struct tt_error *err);

#endif /* TTVM_VMM_CPUID_H */
