// SPDX-License-Identifier: GPL-2.0
/*
 * digest.c - what two runs are compared by, and what they are counted by.
 */
#include <string.h>
#include <xxhash.h>

#include "internal.h"

int tt_take_digests(struct tt_vcpu *vcpu, struct tt_digests *digests)
{
	int ret = tt_vcpu_register_digest(vcpu, &digests->registers);

	if (ret)
		return ret;
	digests->memory = tt_memory_digest(&vcpu->machine->memory);
	digests->devices = tt_machine_device_digest(vcpu->machine);
	return 0;
}

uint64_t tt_digests_combine(const struct tt_digests *digests)
{
	return XXH64(digests, sizeof(*digests), 0);
}

void tt_collect_counts(struct tt_run_counts *counts, struct tt_vcpu *vcpu,
		       const struct ttvm_page *page)
{
	counts->instructions = tt_instructions(vcpu, page);
	counts->branches = page->branches;
	counts->exits = vcpu->exits;
	counts->vm_exits = page->exits;
	counts->rdtsc = page->rdtsc;
	counts->breakpoint_hits = page->db_swallowed;
	counts->alarms = page->alarms;
	counts->alarms_late = page->alarms_late;
	memcpy(counts->exits_by_reason, page->exits_by_reason, sizeof(counts->exits_by_reason));
}
