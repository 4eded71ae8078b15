// SPDX-License-Identifier: GPL-2.0
/*
 * cpuid - every leaf, and a storm of them under interrupts. Provokes a replay under another CPUID
 * table than the recording's, and tests that nothing is offered which cannot be replayed. Prints
 * what it sees when something is.
 */
#include "guest.h"

#define TICKS	200

GUEST("cpuid");

static void fold_leaf(uint32_t leaf, uint32_t index)
{
	struct cpuid c = cpuid(leaf, index);

	fold((uint64_t)c.eax << 32 | c.ebx);
	fold((uint64_t)c.ecx << 32 | c.edx);
}

static void fold_range(uint32_t first)
{
	uint32_t last = cpuid(first, 0).eax, leaf, index;

	if (last < first || last - first > 64)
		last = first;
	for (leaf = first; leaf <= last; leaf++) {
		for (index = 0; index < 4; index++)
			fold_leaf(leaf, index);
	}
}

static void check_offer(void)
{
	struct cpuid c = cpuid(1, 0);

	if (c.ecx & (1u << 30 | 1u << 3 | 1u << 21))
		guest_fail("RDRAND, MONITOR or x2APIC is offered", c.ecx);
	c = cpuid(7, 0);
	if (c.ebx & (1u << 18 | 1u << 4 | 1u << 11) || c.ecx & 1u << 5)
		guest_fail("RDSEED, TSX or WAITPKG is offered", c.ebx);
	c = cpuid(0x80000008, 0);
	if (c.ebx & 1u << 4)
		guest_fail("RDPRU is offered", c.ebx);
	c = cpuid(0x80000001, 0);
	if (c.ecx & 1u << 2)
		guest_fail("SVM is offered", c.ecx);
	c = cpuid(0x40000001, 0);
	if (c.eax)
		guest_fail("KVM's paravirtual features are offered", c.eax);
}

void guest_main(void)
{
	uint64_t rounds = 0;

	if (under_ttvm())
		check_offer();
	fold_range(0);
	fold_range(0x40000000);
	fold_range(0x80000000);
	timer_periodic(PERIOD_FAST, TICKS);
	sti();
	while (timer_is_on()) {
		fold_leaf(rounds++ % 8, 0);
		fold_leaf(0x80000000 + rounds % 9, 0);
	}
	cli();
	fold(rounds);
}
