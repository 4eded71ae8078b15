// SPDX-License-Identifier: GPL-2.0
/*
 * msr.c - model-specific registers: few are KVM's, all others are answered here.
 *
 * KVM gets to keep those that are plain state of the CPU: written by the guest, read back
 * unchanged. Every other access leaves KVM_RUN: time and interrupt controller registers have their
 * own answers, a list of registers that kernels touch without asking CPUID first reads as a
 * constant and ignores writes, and all else is #GP, as on a CPU that lacks it. So nothing of the
 * host, nor of the version of its KVM, can be read.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "cpuid.h"
#include "internal.h"
#include "irqchip.h"

#define MSR_IA32_TSC	      0x10
#define MSR_IA32_APIC_BASE    0x1b
#define MSR_IA32_TSC_DEADLINE 0x6e0

enum { INTEL = 1, AMD = 2, ANY = INTEL | AMD };

/* Those that stay in KVM. */
static const struct {
	uint32_t first;
	uint32_t count;
} kvm_msrs[] = {
	{0x174, 3},	 /* SYSENTER_CS, ESP, EIP */
	{0xfe, 1},	 /* MTRRCAP */
	{0x200, 16},	 /* MTRR_PHYSBASE0 ... PHYSMASK7 */
	{0x250, 32},	 /* fixed MTRRs */
	{0x277, 1},	 /* PAT */
	{0x2ff, 1},	 /* MTRR_DEF_TYPE */
	{0xc0000080, 5}, /* EFER, STAR, LSTAR, CSTAR, SFMASK */
	{0xc0000100, 4}, /* FS_BASE, GS_BASE, KERNEL_GS_BASE, TSC_AUX */
};

#define NUM_KVM_MSRS (sizeof(kvm_msrs) / sizeof(kvm_msrs[0]))
_Static_assert(NUM_KVM_MSRS <= KVM_MSR_FILTER_MAX_RANGES, "more ranges than a filter has");

/* Read as a constant, ignore writes. */
static const struct {
	uint32_t index;
	uint32_t vendors;
	uint64_t value;
} constants[] = {
	{0x17, INTEL, 0},	       /* PLATFORM_ID */
	{0x2a, INTEL, 0},	       /* EBL_CR_POWERON */
	{0x8b, INTEL, 1ull << 32},     /* microcode revision 1 */
	{0x8b, AMD, 0x01000065},       /* PATCH_LEVEL: KVM's own default */
	{0xce, INTEL, 0},	       /* PLATFORM_INFO: no CPUID faulting */
	{0x179, ANY, 0},	       /* MCG_CAP: no machine check banks */
	{0x17a, ANY, 0},	       /* MCG_STATUS */
	{0x1a0, INTEL, 0x1801},	       /* MISC_ENABLE: fast strings; no BTS, no PEBS */
	{0x1d9, ANY, 0},	       /* DEBUGCTL: no branch trace, no branch stepping */
	{0xc0010010, AMD, 0},	       /* SYSCFG */
	{0xc0010015, AMD, 1ull << 24}, /* HWCR: the TSC runs at the P0 frequency */
	{0xc001001f, AMD, 0},	       /* NB_CFG */
	{0xc0010055, AMD, 0},	       /* INT_PENDING */
	{0xc0010058, AMD, 0},	       /* MMIO_CONF_BASE: no PCI configuration space in memory */
	{0xc0010112, AMD, 0},	       /* TSEG base */
	{0xc0011022, AMD, 0},	       /* DC_CFG */
	{0xc0011029, AMD, 1ull << 1},  /* DE_CFG: LFENCE serializes */
	{0xc001102a, AMD, 0},	       /* BU_CFG2 */
};

int tt_msr_filter_install(int vm_fd, struct tt_error *err)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = {KVM_MSR_EXIT_REASON_FILTER},
	};
	struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_DENY};
	uint64_t allow = UINT64_MAX;
	size_t i;

	if (ioctl(vm_fd, KVM_ENABLE_CAP, &cap) < 0)
		return tt_fail(err, -errno, "KVM_CAP_X86_USER_SPACE_MSR: %s", strerror(errno));
	for (i = 0; i < NUM_KVM_MSRS; i++) {
		filter.ranges[i].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
		filter.ranges[i].base = kvm_msrs[i].first;
		filter.ranges[i].nmsrs = kvm_msrs[i].count;
		filter.ranges[i].bitmap = (uint8_t *)&allow;
	}
	if (ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &filter) < 0)
		return tt_fail(err, -errno, "KVM_X86_SET_MSR_FILTER: %s", strerror(errno));
	return 0;
}

size_t tt_msr_kept_by_kvm(uint32_t *index, size_t max)
{
	size_t n = 0, i;
	uint32_t k;

	for (i = 0; i < NUM_KVM_MSRS; i++)
		for (k = 0; k < kvm_msrs[i].count; k++, n++)
			if (n < max)
				index[n] = kvm_msrs[i].first + k;
	return n;
}

static bool constant_value(struct tt_vcpu *vcpu, uint32_t index, uint64_t *value)
{
	bool intel = tt_cpuid_is_intel(vcpu->machine->config.cpuid);
	size_t i;

	for (i = 0; i < sizeof(constants) / sizeof(constants[0]); i++) {
		if (constants[i].index == index && constants[i].vendors & (intel ? INTEL : AMD)) {
			*value = constants[i].value;
			return true;
		}
	}
	return false;
}

int tt_msr_read(struct tt_vcpu *vcpu, uint32_t index, uint64_t *value)
{
	struct tt_seam *seam = vcpu->machine->seam;

	switch (index) {
	case MSR_IA32_TSC:
		*value = seam->ops->guest_tsc(seam, vcpu);
		return 0;
	case MSR_IA32_APIC_BASE:
	case MSR_IA32_TSC_DEADLINE:
		return tt_lapic_read_msr(vcpu, index, value);
	}
	return constant_value(vcpu, index, value) ? 0 : -EINVAL;
}

int tt_msr_write(struct tt_vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct tt_seam *seam = vcpu->machine->seam;
	uint64_t ignored;

	switch (index) {
	case MSR_IA32_TSC:
		seam->ops->set_tsc(seam, vcpu, value);
		tt_lapic_tsc_moved(vcpu);
		return 0;
	case MSR_IA32_APIC_BASE:
	case MSR_IA32_TSC_DEADLINE:
		return tt_lapic_write_msr(vcpu, index, value);
	}
	return constant_value(vcpu, index, &ignored) ? 0 : -EINVAL;
}
