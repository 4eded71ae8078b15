// SPDX-License-Identifier: GPL-2.0
/*
 * boot_bzimage.c - the header of a bzImage (Documentation/arch/x86/boot.rst in the Linux source).
 *
 * The file is a real-mode part, (setup_sects + 1) * 512 bytes, of which only the header at 0x1f1
 * concerns us, then the protected-mode part, syssize * 16 bytes. That part goes to the address that
 * the kernel prefers and unpacks itself in place, for which it needs init_size bytes there. Its
 * 64-bit entry is 0x200 bytes in. Signatures that follow are ignored.
 */
#include <string.h>

#include "boot.h"

#define SECTOR	       512
#define HEADER_OFFSET  0x1f1
#define MAGIC_OFFSET   0x202
#define HEADER_MAGIC   0x53726448u /* "HdrS" */
#define BOOT_FLAG      0xaa55
#define ENTRY64_OFFSET 0x200
#define VERSION_2_12   0x020c /* the first with xloadflags */
#define DEFAULT_SECTS  4

bool tt_boot_is_bzimage(struct tt_blob kernel)
{
	const uint8_t *data = kernel.data;
	uint32_t magic;

	if (kernel.size < MAGIC_OFFSET + sizeof(magic))
		return false;
	memcpy(&magic, data + MAGIC_OFFSET, sizeof(magic));
	return magic == HEADER_MAGIC;
}

int tt_boot_parse_bzimage(const char *name, struct tt_blob kernel, struct tt_boot_image *image,
			  struct tt_error *err)
{
	const uint8_t *data = kernel.data;
	struct setup_header *header = &image->header;
	struct tt_boot_segment *segment = &image->segments[0];
	uint64_t setup_size, payload_size, header_size;

	if (kernel.size < HEADER_OFFSET + sizeof(*header))
		return tt_fail(err, -ENOEXEC,
			       "%s: bzImage is truncated within its header (%zu bytes)", name,
			       kernel.size);
	/* The header ends where the jump at its start leads to; fields beyond that are code. */
	header_size = MAGIC_OFFSET + data[0x201] - HEADER_OFFSET;
	if (header_size > sizeof(*header))
		header_size = sizeof(*header);
	memcpy(header, data + HEADER_OFFSET, header_size);

	if (header->boot_flag != BOOT_FLAG)
		return tt_fail(err, -ENOEXEC,
			       "%s: bzImage header is damaged (boot flag %04x instead of aa55)",
			       name, header->boot_flag);
	if (header->version < VERSION_2_12)
		return tt_fail(err, -ENOEXEC,
			       "%s: boot protocol %u.%02u is too old, 2.12 is the first that "
			       "enters in 64-bit mode; use Linux 3.8 or newer",
			       name, header->version >> 8, header->version & 0xff);
	if (!(header->loadflags & LOADED_HIGH))
		return tt_fail(err, -ENOEXEC,
			       "%s: a zImage, which loads below 1 MiB; use a bzImage", name);
	if (!(header->xloadflags & XLF_KERNEL_64))
		return tt_fail(err, -ENOEXEC,
			       "%s: a 32-bit kernel; ttvm starts bzImages of 64-bit kernels", name);

	setup_size = (uint64_t)((header->setup_sects ? header->setup_sects : DEFAULT_SECTS) + 1) *
		     SECTOR;
	payload_size = (uint64_t)header->syssize * 16;
	if (payload_size <= ENTRY64_OFFSET)
		return tt_fail(err, -ENOEXEC,
			       "%s: bzImage header is damaged (kernel of %llu bytes)", name,
			       (unsigned long long)payload_size);
	if (setup_size > kernel.size || payload_size > kernel.size - setup_size)
		return tt_fail(
			err, -ENOEXEC,
			"%s: bzImage is truncated: %zu bytes, its header speaks of %llu; copy "
			"it again",
			name, kernel.size, (unsigned long long)(setup_size + payload_size));

	segment->gpa = header->relocatable_kernel ? header->pref_address : header->code32_start;
	segment->file_offset = setup_size;
	segment->file_size = payload_size;
	segment->memory_size = header->init_size > payload_size ? header->init_size : payload_size;
	if (segment->gpa > UINT64_MAX - segment->memory_size)
		return tt_fail(err, -ENOEXEC,
			       "%s: bzImage header is damaged (preferred address 0x%llx)", name,
			       (unsigned long long)segment->gpa);
	image->num_segments = 1;
	image->protocol = BOOT_LINUX64;
	image->entry = segment->gpa + ENTRY64_OFFSET;
	image->initrd_max = header->initrd_addr_max;
	image->command_line_max = header->cmdline_size ? header->cmdline_size : 255;
	header->code32_start = segment->gpa;
	tt_boot_linux_header(header);
	return 0;
}
