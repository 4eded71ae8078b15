// SPDX-License-Identifier: GPL-2.0
/*
 * firmware.c - a machine that starts as a PC does: by a BIOS in ROM, which finds a disk and runs
 * what is on it. The one that this is made for is SeaBIOS (1.16), as built for QEMU.
 *
 *	0xe0000		the last 128 KiB of the ROM, in RAM that can always be written: the chip
 *			set's registers that would map or protect it (pci.c) change nothing
 *	4 GiB - size	the ROM. The guest's writes to it have no effect
 *
 * What the BIOS cannot find out by itself it reads from fw_cfg.c: the map of memory, the order of
 * boot devices, that the serial port is its screen and keyboard. The ACPI tables are in their place
 * already (acpi.c), at the end of low RAM, which the map reserves; all that the BIOS has to do is
 * put a copy of the RSDP where operating systems look for it.
 *
 * Port 0x92 is here, too. Its gate of address line 20 is not built: the line is always open, as on
 * current machines, and the bit only remembers what was written.
 */
#include <endian.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "acpi.h"
#include "devices.h"
#include "firmware.h"
#include "fw_cfg.h"
#include "virtio.h"

#define FOUR_GIB (1ull << 32)
#define ROM_SLOT 2 /* of KVM's memory; RAM has 0 and 1 */

#define PORT_CONTROL  0x92
#define CONTROL_RESET 0x01
#define CONTROL_A20   0x02

#define COM1 0x3f8

struct firmware_state {
	uint8_t control; /* port 0x92 */
	uint8_t reserved[7];
};

_Static_assert(sizeof(struct firmware_state) == 8, "digest: no padding");

struct firmware {
	struct tt_device dev;
	struct firmware_state state;
	struct tt_machine *machine;
	void *rom; /* mapped, a copy */
	size_t rom_size;
};

/* ------------------------------------------------------------------ port 0x92 */

static void control_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct firmware *fw = ctx;

	(void)addr;
	tt_io_put(data, len, fw->state.control);
}

static void control_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct firmware *fw = ctx;
	uint8_t value = tt_io_get(data, len);

	(void)addr;
	fw->state.control = value;
	if (value & CONTROL_RESET)
		tt_machine_end(fw->machine, TT_END_RESET, 0);
}

static void firmware_reset(struct tt_device *dev)
{
	struct firmware *fw = (struct firmware *)dev;

	memset(&fw->state, 0, sizeof(fw->state));
	fw->state.control = CONTROL_A20;
}

/* ------------------------------------------------------------------ the ROM */

static void firmware_destroy(struct tt_device *dev)
{
	struct firmware *fw = (struct firmware *)dev;

	if (fw->rom)
		munmap(fw->rom, fw->rom_size);
	free(fw);
}

static int create_device(struct tt_machine *m, struct firmware **created, struct tt_error *err)
{
	const struct tt_blob *image = &m->config.firmware;
	struct firmware *fw = calloc(1, sizeof(*fw));
	void *rom;
	int ret;

	if (!fw)
		return tt_fail(err, -ENOMEM, "out of memory");
	fw->machine = m;
	fw->dev = (struct tt_device){
		.name = "firmware",
		.state = &fw->state,
		.state_size = sizeof(fw->state),
		.reset = firmware_reset,
		.destroy = firmware_destroy,
	};
	firmware_reset(&fw->dev);
	tt_device_add(m, &fw->dev);
	rom = mmap(NULL, image->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rom == MAP_FAILED)
		return tt_fail(err, -errno, "cannot map the firmware: %s", strerror(errno));
	fw->rom = rom;
	fw->rom_size = image->size;
	memcpy(rom, image->data, image->size);
	ret = tt_bus_add_pio(m, PORT_CONTROL, 1, control_read, control_write, fw);
	if (ret)
		return tt_fail(err, ret, "firmware: its port is taken");
	*created = fw;
	return 0;
}

static int check_image(const struct tt_machine *m, struct tt_error *err)
{
	size_t size = m->config.firmware.size;

	if (size % TT_FIRMWARE_ALIGN || size > TT_FIRMWARE_MAX)
		return tt_fail(err, -ENOEXEC,
			       "the firmware has %zu bytes and so is no PC BIOS, which has 64, 128 "
			       "or 256 KiB; name one such as SeaBIOS' bios-256k.bin",
			       size);
	if (m->memory.low_size < TT_FIRMWARE_LOW_RAM)
		return tt_fail(err, -ENOMEM,
			       "--mem %lluK is too small for firmware; give it at least --mem 2M",
			       (unsigned long long)(m->memory.size >> 10));
	return 0;
}

/* ------------------------------------------------------------------ what the BIOS is told */

struct map_entry {
	uint64_t gpa;
	uint64_t size;
	uint32_t type;
} __attribute__((packed));

#define MAP_RAM	     1
#define MAP_RESERVED 2

static int add_memory_map(struct tt_machine *m, struct tt_fw_cfg *fw_cfg)
{
	const struct tt_memory *mem = &m->memory;
	uint64_t tables = tt_acpi_tables_gpa(m), high = mem->size - mem->low_size;
	const struct map_entry map[] = {
		{ 0, htole64(tables), htole32(MAP_RAM) },
		{ htole64(tables), htole64(mem->low_size - tables), htole32(MAP_RESERVED) },
		{ htole64(FOUR_GIB), htole64(high), htole32(MAP_RAM) },
	};

	return tt_fw_cfg_add_file(fw_cfg, "etc/e820", map,
				  high ? sizeof(map) : sizeof(map) - sizeof(map[0]));
}

/* A command of the table loader (QEMU's hw/acpi/bios-linker-loader): put a file into memory. */
struct loader_allocate {
	uint32_t command;
	char file[TT_FW_CFG_NAME_SIZE];
	uint32_t align;
	uint8_t zone;
	uint8_t unused[63];
} __attribute__((packed));

_Static_assert(sizeof(struct loader_allocate) == 128, "the format of the table loader");

#define LOADER_ALLOCATE	 1
#define LOADER_ZONE_FSEG 2 /* 0xf0000-0xfffff, where the RSDP is looked for */
#define RSDP_FILE	 "etc/acpi/rsdp"
#define RSDP_SIZE	 36

static int add_acpi_root(struct tt_machine *m, struct tt_fw_cfg *fw_cfg)
{
	const void *rsdp = tt_memory_at(&m->memory, tt_acpi_tables_gpa(m), RSDP_SIZE);
	const struct loader_allocate script = {
		.command = htole32(LOADER_ALLOCATE),
		.file = RSDP_FILE,
		.align = htole32(16),
		.zone = LOADER_ZONE_FSEG,
	};
	int ret;

	if (!rsdp)
		return -ENOMEM;
	ret = tt_fw_cfg_add_file(fw_cfg, RSDP_FILE, rsdp, RSDP_SIZE);
	return ret ? ret : tt_fw_cfg_add_file(fw_cfg, "etc/table-loader", &script, sizeof(script));
}

/*
 * Disks in the order of the configuration, as Open Firmware names them, and nothing else. When none
 * of them boots, the BIOS says so and resets, which ends the run, rather than try again for ever.
 */
static int add_boot_order(struct tt_machine *m, struct tt_fw_cfg *fw_cfg)
{
	const uint32_t fail_wait_ms = htole32(1000);
	char order[TT_MAX_DISKS * 32 + 8];
	unsigned int i;
	int len = 0, ret;

	for (i = 0; i < m->config.num_disks; i++)
		len += snprintf(order + len, sizeof(order) - len, "/pci@i0cf8/scsi@%x/disk@0,0\n",
				TT_VIRTIO_SLOT_BLK + i);
	len += snprintf(order + len, sizeof(order) - len, "HALT");
	ret = tt_fw_cfg_add_file(fw_cfg, "bootorder", order, len + 1);
	if (ret)
		return ret;
	return tt_fw_cfg_add_file(fw_cfg, "etc/boot-fail-wait", &fail_wait_ms,
				  sizeof(fail_wait_ms));
}

static int add_items(struct tt_machine *m, struct tt_fw_cfg *fw_cfg)
{
	const uint16_t cpus = htole16(m->config.num_vcpus), serial = htole16(COM1);
	int ret = tt_fw_cfg_add(fw_cfg, TT_FW_CFG_NB_CPUS, &cpus, sizeof(cpus));

	if (!ret)
		ret = tt_fw_cfg_add(fw_cfg, TT_FW_CFG_MAX_CPUS, &cpus, sizeof(cpus));
	if (!ret)
		ret = add_memory_map(m, fw_cfg);
	if (!ret)
		ret = add_acpi_root(m, fw_cfg);
	if (!ret)
		ret = add_boot_order(m, fw_cfg);
	if (!ret)
		ret = tt_fw_cfg_add_file(fw_cfg, "etc/sercon-port", &serial, sizeof(serial));
	return ret;
}

/* ------------------------------------------------------------------ all together */

int tt_firmware_load_memory(struct tt_machine *m, void **rom, struct tt_error *err)
{
	size_t shadow = TT_FIRMWARE_SHADOW;
	struct tt_fw_cfg *fw_cfg = NULL;
	struct firmware *fw = NULL;
	int ret;

	ret = check_image(m, err);
	if (ret)
		return ret;
	ret = create_device(m, &fw, err);
	if (ret)
		return ret;
	ret = tt_acpi_write_tables(m, err);
	if (!ret)
		ret = tt_fw_cfg_create(m, &fw_cfg, err);
	if (ret)
		return ret;
	ret = add_items(m, fw_cfg);
	if (ret)
		return tt_fail(err, ret, "fw-cfg: %s", strerror(-ret));
	if (shadow > fw->rom_size)
		shadow = fw->rom_size;
	memcpy(tt_memory_at(&m->memory, TT_FIRMWARE_LOW_END - shadow, shadow),
	       (uint8_t *)fw->rom + fw->rom_size - shadow, shadow);
	*rom = fw->rom;
	return 0;
}

int tt_firmware_load(struct tt_machine *m, struct tt_error *err)
{
	uint64_t size = m->config.firmware.size;
	struct kvm_userspace_memory_region region = {
		.slot = ROM_SLOT,
		.flags = KVM_MEM_READONLY,
		.guest_phys_addr = FOUR_GIB - size,
		.memory_size = size,
	};
	void *rom;
	int ret = tt_firmware_load_memory(m, &rom, err);

	if (ret)
		return ret;
	region.userspace_addr = (uintptr_t)rom;
	if (ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return tt_fail(err, -errno, "KVM refuses the firmware's ROM: %s", strerror(errno));
	m->entry_rip = FOUR_GIB - 16;
	return 0;
}
