/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vmcoreinfo.h - what a Linux kernel tells about itself to whoever looks at its memory: the note VMCOREINFO
 * (Documentation/admin-guide/kdump/vmcoreinfo.rst).
 */
#ifndef TTVM_TOOLS_VMCOREINFO_H
#define TTVM_TOOLS_VMCOREINFO_H

#include "vmm.h"

/* Lines KEY=VALUE, in guest memory; not terminated. */
struct vmcoreinfo {
	const char *text;
	size_t size;
};

#define VMCOREINFO_VALUE_MAX 128

/*
 * Find the running kernel's in the memory of a machine that stands still. False: there is none, because the guest is no
 * Linux, has not come so far, or was built without CONFIG_VMCORE_INFO.
 */
bool vmcoreinfo_find(const struct tt_memory *mem, struct vmcoreinfo *info);
/* The value of a key. False: no such key, or its value is too long. */
bool vmcoreinfo_get(const struct vmcoreinfo *info, const char *key, char value[VMCOREINFO_VALUE_MAX]);
/* The same as a number: SYMBOL() and KERNELOFFSET are to base 16, the others to base 10, perhaps negative. */
bool vmcoreinfo_get_number(const struct vmcoreinfo *info, const char *key, int base, uint64_t *value);

#endif /* TTVM_TOOLS_VMCOREINFO_H */
