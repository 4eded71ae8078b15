// SPDX-License-Identifier: GPL-2.0
/*
 * boot_linux.c - the zero page (struct boot_params) and setup_data of the 64-bit Linux boot
 * protocol.
 */
#include <string.h>

#include "boot.h"

#define HEADER_MAGIC   0x53726448u /* "HdrS" */
#define BOOT_FLAG      0xaa55
#define VERSION_2_15   0x020f
#define LOADER_UNKNOWN 0xff

void tt_boot_linux_header(struct setup_header *header)
{
	header->boot_flag = BOOT_FLAG;
	header->header = HEADER_MAGIC;
	if (header->version < VERSION_2_15)
		header->version = VERSION_2_15;
	header->type_of_loader = LOADER_UNKNOWN;
	header->loadflags |= LOADED_HIGH;
	header->cmd_line_ptr = BOOT_COMMAND_LINE_GPA;
	header->setup_data = 0;
	header->vid_mode = 0xffff;
}

/*
 * Linux mixes this seed into its random number generator before anything asks for a random number
 * (since 6.0). With it a guest without RDRAND does not wait for entropy, and the log knows where
 * its randomness came from.
 */
static int write_seed(const struct tt_machine_config *config, const struct tt_memory *mem)
{
	struct setup_data head = {.type = SETUP_RNG_SEED, .len = sizeof(config->rng_seed)};
	uint8_t *to =
		tt_memory_at(mem, BOOT_SETUP_DATA_GPA, sizeof(head) + sizeof(config->rng_seed));

	if (!to)
		return -ENOMEM;
	memcpy(to, &head, sizeof(head));
	memcpy(to + sizeof(head), config->rng_seed, sizeof(config->rng_seed));
	return 0;
}

int tt_boot_write_zero_page(const struct tt_machine_config *config, const struct tt_memory *mem,
			    const struct tt_boot_image *image, const struct tt_boot_layout *layout)
{
	struct boot_params *params = tt_memory_at(mem, BOOT_ZERO_PAGE_GPA, sizeof(*params));
	unsigned int i;

	if (!params)
		return -ENOMEM;
	memset(params, 0, sizeof(*params));
	params->hdr = image->header;
	params->hdr.setup_data = BOOT_SETUP_DATA_GPA;
	params->hdr.ramdisk_image = layout->initrd_gpa;
	params->hdr.ramdisk_size = layout->initrd_size;
	params->acpi_rsdp_addr = TT_ACPI_TABLES_GPA;
	params->e820_entries = layout->num_ranges;
	for (i = 0; i < layout->num_ranges; i++) {
		params->e820_table[i].addr = layout->ranges[i].gpa;
		params->e820_table[i].size = layout->ranges[i].size;
		params->e820_table[i].type = layout->ranges[i].type;
	}
	return write_seed(config, mem);
}
