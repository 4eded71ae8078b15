/* SPDX-License-Identifier: GPL-2.0 */
/*
 * boot.h - what the boot*.c files share among themselves; nobody else includes it but their unit
 * test.
 *
 * A kernel file of any kind is parsed into one struct tt_boot_image: which bytes go where, and how
 * the CPU enters. boot.c then treats all kinds alike. Files come from anywhere, so parsers check
 * every number against the file's size, and every guest address goes through tt_memory_at().
 *
 * Where boot data lies in guest memory (all of it is free RAM again once the kernel has read it):
 *
 *	0x01000	GDT
 *	0x02000	PVH start info, module list, memory map
 *	0x07000	zero page (struct boot_params)
 *	0x09000	page tables that map the low 4 GiB to themselves: PML4, PDPT, 4 page directories
 *	0x10000	setup_data: seed of the random number generator
 *	0x20000	command line
 *	0xe0000	ACPI tables (acpi.c)
 *	1 MiB	the lowest address at which a kernel may be linked; the initrd goes as high as it may
 */
#ifndef TTVM_VMM_BOOT_H
#define TTVM_VMM_BOOT_H

#include <asm/bootparam.h>

#include "vmm.h"

#define BOOT_GDT_GPA		0x1000ull
#define BOOT_START_INFO_GPA	0x2000ull
#define BOOT_ZERO_PAGE_GPA	0x7000ull
#define BOOT_STACK_TOP		0x8ff0ull
#define BOOT_PAGE_TABLES_GPA	0x9000ull
#define BOOT_SETUP_DATA_GPA	0x10000ull
#define BOOT_COMMAND_LINE_GPA	0x20000ull
#define BOOT_COMMAND_LINE_ROOM	0x10000ull
#define BOOT_LOW_RAM_END	0x9fc00ull
#define BOOT_KERNEL_MIN		0x100000ull

#define BOOT_MAX_SEGMENTS	32
#define BOOT_MAX_RANGES		8

/* How the CPU enters the kernel. */
enum tt_boot_protocol {
	/* long mode, RSI = zero page: "64-bit boot protocol" in Linux' Documentation/arch/x86/boot.rst */
	BOOT_LINUX64,
	/* protected mode without paging, EBX = start info: Xen's docs/misc/pvh.pandoc */
	BOOT_PVH,
};

struct tt_boot_segment {
	uint64_t gpa;
	uint64_t memory_size;	/* > 0; the part beyond file_size is zero */
	uint64_t file_offset;
	uint64_t file_size;	/* <= memory_size, and within the file */
};

struct tt_boot_image {
	enum tt_boot_protocol protocol;
	uint64_t entry;			/* physical; inside a segment */
	unsigned int num_segments;
	struct tt_boot_segment segments[BOOT_MAX_SEGMENTS];
	struct setup_header header;	/* BOOT_LINUX64: what goes into the zero page */
	uint64_t initrd_max;		/* highest address that the initrd's last byte may have */
	uint64_t command_line_max;	/* bytes without the final NUL */
};

struct tt_boot_range {
	uint64_t gpa;
	uint64_t size;
	uint32_t type;			/* E820_TYPE_RAM, E820_TYPE_RESERVED as in the zero page */
};

#define BOOT_RANGE_RAM		1
#define BOOT_RANGE_RESERVED	2

/* Everything that the start-up structures say, whatever their format. */
struct tt_boot_layout {
	unsigned int num_ranges;
	struct tt_boot_range ranges[BOOT_MAX_RANGES];
	uint64_t initrd_gpa;
	uint64_t initrd_size;		/* 0: none */
};

/* Recognize and check a kernel file. 0, or -errno and err says what it is instead. */
int tt_boot_parse(const char *name, struct tt_blob kernel, struct tt_boot_image *image,
		  struct tt_error *err);
bool tt_boot_is_elf(struct tt_blob kernel);
int tt_boot_parse_elf(const char *name, struct tt_blob kernel, struct tt_boot_image *image,
		      struct tt_error *err);
bool tt_boot_is_bzimage(struct tt_blob kernel);
int tt_boot_parse_bzimage(const char *name, struct tt_blob kernel, struct tt_boot_image *image,
			  struct tt_error *err);
/* The header fields that a loader fills in for any 64-bit Linux. */
void tt_boot_linux_header(struct setup_header *header);

/* All of the loading that concerns memory only; needs no KVM. ACPI tables are not written here. */
int tt_boot_load_memory(const struct tt_machine_config *config, const struct tt_memory *mem,
			struct tt_boot_image *image, struct tt_error *err);
/* Write the zero page and setup_data, or the PVH start info, as image and layout say. */
int tt_boot_write_zero_page(const struct tt_machine_config *config, const struct tt_memory *mem,
			    const struct tt_boot_image *image, const struct tt_boot_layout *layout);
int tt_boot_write_start_info(const struct tt_memory *mem, const struct tt_boot_layout *layout);
/* Write GDT and page tables for the protocol. */
int tt_boot_write_tables(const struct tt_memory *mem, enum tt_boot_protocol protocol);
/* Initial registers. sregs comes from KVM_GET_SREGS and keeps what the protocol does not speak of. */
void tt_boot_registers(const struct tt_boot_image *image, struct kvm_regs *regs,
		       struct kvm_sregs *sregs);

#endif /* TTVM_VMM_BOOT_H */
