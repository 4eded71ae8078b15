/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vmcore.h - a machine that stands still as an ELF core, for gdb, crash and whatever else reads vmcores.
 */
#ifndef TTVM_TOOLS_VMCORE_H
#define TTVM_TOOLS_VMCORE_H

#include "debug.h"
#include "vmcoreinfo.h"

struct vmcore {
	const struct tt_memory *memory;
	const struct tt_registers *registers;	/* of num_vcpus vCPUs */
	unsigned int num_vcpus;
	const struct vmcoreinfo *info;		/* or NULL */
	/* Called now and then with the bytes of memory that were looked at; true: give up. May be NULL. */
	bool (*progress)(void *ctx, uint64_t done);
	void *ctx;
};

struct vmcore_stats {
	uint64_t bytes;		/* of the file */
	uint64_t stored;	/* of memory that is not in holes */
	size_t mappings;	/* stretches of virtual addresses */
	bool cut;		/* there are more of them */
};

/*
 * Write it to path, which is replaced when the new file is complete, and is unharmed before. For its owner only: it is
 * all of a machine's memory. 0, or -errno with err filled in; -EINTR: progress said so.
 */
int vmcore_write(const struct vmcore *core, const char *path, struct vmcore_stats *stats, struct tt_error *err);

#endif /* TTVM_TOOLS_VMCORE_H */
