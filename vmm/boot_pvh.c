// SPDX-License-Identifier: GPL-2.0
/*
 * boot_pvh.c - the start info of the PVH boot protocol (Xen's docs/misc/pvh.pandoc and
 * public/arch-x86/hvm/start_info.h).
 */
#include <string.h>

#include "boot.h"

#define START_INFO_MAGIC   0x336ec578u
#define START_INFO_VERSION 1 /* the first with a memory map */

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t num_modules;
	uint64_t modules_gpa;
	uint64_t command_line_gpa;
	uint64_t rsdp_gpa;
	uint64_t memory_map_gpa;
	uint32_t memory_map_entries;
	uint32_t reserved;
};

struct start_module {
	uint64_t gpa;
	uint64_t size;
	uint64_t command_line_gpa;
	uint64_t reserved;
};

struct start_memory {
	uint64_t gpa;
	uint64_t size;
	uint32_t type; /* numbers as in e820 */
	uint32_t reserved;
};

struct start_page {
	struct start_info info;
	struct start_module modules[1];
	struct start_memory memory[BOOT_MAX_RANGES];
};

int tt_boot_write_start_info(const struct tt_memory *mem, const struct tt_boot_layout *layout)
{
	struct start_page *page = tt_memory_at(mem, BOOT_START_INFO_GPA, sizeof(*page));
	unsigned int i;

	if (!page)
		return -ENOMEM;
	memset(page, 0, sizeof(*page));
	page->info.magic = START_INFO_MAGIC;
	page->info.version = START_INFO_VERSION;
	page->info.command_line_gpa = BOOT_COMMAND_LINE_GPA;
	page->info.rsdp_gpa = TT_ACPI_TABLES_GPA;
	if (layout->initrd_size) {
		page->info.num_modules = 1;
		page->info.modules_gpa = BOOT_START_INFO_GPA + offsetof(struct start_page, modules);
		page->modules[0].gpa = layout->initrd_gpa;
		page->modules[0].size = layout->initrd_size;
	}
	page->info.memory_map_gpa = BOOT_START_INFO_GPA + offsetof(struct start_page, memory);
	page->info.memory_map_entries = layout->num_ranges;
	for (i = 0; i < layout->num_ranges; i++) {
		page->memory[i].gpa = layout->ranges[i].gpa;
		page->memory[i].size = layout->ranges[i].size;
		page->memory[i].type = layout->ranges[i].type;
	}
	return 0;
}
