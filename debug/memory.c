// SPDX-License-Identifier: GPL-2.0
/*
 * memory.c - what targets that are machines have in common: reading memory, and what the guest's CPU has.
 */
#include <string.h>

#include "debug.h"

#define CPUID1_ECX_AVX (1u << 28)

static size_t read_physical(const struct tt_memory *mem, uint64_t address, void *data, size_t len)
{
	size_t done, n;

	for (done = 0; done < len; done += n) {
		uint64_t at = address + done, left = TT_PAGE_SIZE - at % TT_PAGE_SIZE;
		const void *from;

		n = len - done < left ? len - done : left;
		from = tt_memory_at(mem, at, n);
		if (!from)
			break;
		memcpy((char *)data + done, from, n);
	}
	return done;
}

size_t tt_debug_read_memory(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, bool physical, uint64_t address, void *data,
			    size_t len)
{
	return physical ? read_physical(&vcpu->machine->memory, address, data, len) :
			  tt_vcpu_read_virtual(vcpu, sregs, address, data, len, false);
}

bool tt_debug_has_avx(const struct tt_machine *m)
{
	return tt_cpuid_get(m->config.cpuid, 1, 0, 2) & CPUID1_ECX_AVX;
}
