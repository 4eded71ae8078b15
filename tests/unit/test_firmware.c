// SPDX-License-Identifier: GPL-2.0
/*
 * test_firmware.c - what a PC BIOS finds: its ROM, fw_cfg with a memory map, the ACPI tables and
 * their root, a host bridge that it knows, port 0x92.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "acpi.h"
#include "fake-machine.h"
#include "firmware.h"
#include "fw_cfg.h"

#define ROM_SIZE 0x40000u

#define PORT_SELECTOR 0x510
#define PORT_DATA     0x511

struct map_entry {
	uint64_t gpa;
	uint64_t size;
	uint32_t type;
} __attribute__((packed));

static uint8_t rom_byte(uint32_t at)
{
	return at ^ at >> 8 ^ at >> 16;
}

/* A machine with a ROM of so many bytes, as tt_machine_create() makes it, but without KVM. */
static int create(struct fake_machine *f, size_t rom_size, unsigned int num_disks, void **rom)
{
	struct tt_error err = { 0 };
	uint8_t *image = malloc(rom_size);
	uint32_t i;
	int ret;

	assert_non_null(image);
	for (i = 0; i < rom_size; i++)
		image[i] = rom_byte(i);
	fake_machine_create_bare(f, 1);
	f->m.config.firmware = (struct tt_blob){ image, rom_size };
	assert_int_equal(tt_irqchip_create(&f->m, &err), 0);
	assert_int_equal(tt_devices_create(&f->m, &err), 0);
	f->m.config.num_disks = num_disks;
	ret = tt_firmware_load_memory(&f->m, rom, &err);
	assert_true(!ret == !err.text[0]);
	free(image); /* the machine has its own copy */
	return ret;
}

static void read_item(struct fake_machine *f, uint16_t key, void *data, size_t size)
{
	uint8_t *bytes = data;

	fake_outw(f, PORT_SELECTOR, key);
	while (size--)
		*bytes++ = fake_inb(f, PORT_DATA);
}

/* Find a file as firmware does; returns its size. */
static uint32_t read_file(struct fake_machine *f, const char *name, void *data, size_t room)
{
	struct {
		uint32_t size;
		uint16_t key;
		uint16_t reserved;
		char name[56];
	} entry = { 0 };
	uint32_t count, i, j;

	read_item(f, TT_FW_CFG_FILE_DIR, &count, sizeof(count));
	count = be32toh(count);
	for (i = 0; i < count; i++) {
		for (j = 0; j < sizeof(entry); j++)
			((uint8_t *)&entry)[j] = fake_inb(f, PORT_DATA);
		if (!strcmp(entry.name, name))
			break;
	}
	if (i == count)
		return 0;
	assert_true(be32toh(entry.size) <= room);
	read_item(f, be16toh(entry.key), data, be32toh(entry.size));
	return be32toh(entry.size);
}

/* ------------------------------------------------------------------ the ROM */

static void test_rom(void **state)
{
	struct fake_machine f;
	uint8_t *rom;
	uint32_t i;

	(void)state;
	assert_int_equal(create(&f, ROM_SIZE, 0, (void **)&rom), 0);
	for (i = 0; i < ROM_SIZE; i++)
		assert_int_equal(rom[i], rom_byte(i));
	for (i = 0; i < TT_FIRMWARE_SHADOW; i++)
		assert_int_equal(f.m.memory.hva[0xe0000 + i], rom_byte(ROM_SIZE / 2 + i));
	assert_int_equal(f.m.memory.hva[0xdffff], 0);
	assert_int_equal(f.m.memory.hva[0x100000], 0);
	fake_machine_destroy(&f);

	assert_int_equal(create(&f, 0x10000, 0, (void **)&rom), 0);
	assert_int_equal(f.m.memory.hva[0xeffff], 0);
	assert_int_equal(f.m.memory.hva[0xf0001], rom_byte(1));
	assert_int_equal(f.m.memory.hva[0xfffff], rom_byte(0xffff));
	fake_machine_destroy(&f);
}

static void test_what_is_no_rom(void **state)
{
	struct fake_machine f;
	void *rom;

	(void)state;
	assert_int_equal(create(&f, 0x20001, 0, &rom), -ENOEXEC);
	fake_machine_destroy(&f);
	assert_int_equal(create(&f, 0x50000, 0, &rom), -ENOEXEC);
	fake_machine_destroy(&f);
}

static void test_too_little_memory(void **state)
{
	uint8_t image[TT_FIRMWARE_ALIGN] = { 0 };
	struct fake_machine f;
	struct tt_error err = { 0 };
	void *rom;

	(void)state;
	fake_machine_create_bare(&f, 1);
	f.m.config.firmware = (struct tt_blob){ image, sizeof(image) };
	f.m.memory.size = f.m.memory.low_size = TT_FIRMWARE_LOW_RAM - 4096;
	assert_int_equal(tt_firmware_load_memory(&f.m, &rom, &err), -ENOMEM);
	assert_non_null(strstr(err.text, "--mem"));
	fake_machine_destroy(&f);
}

/* ------------------------------------------------------------------ fw_cfg */

static void test_items(void **state)
{
	struct fake_machine f;
	uint8_t data[8];
	void *rom;

	(void)state;
	assert_int_equal(create(&f, ROM_SIZE, 0, &rom), 0);
	read_item(&f, TT_FW_CFG_SIGNATURE, data, 6);
	assert_memory_equal(data, "QEMU\0\0", 6); /* zeros behind the end */
	read_item(&f, TT_FW_CFG_ID, data, 4);
	assert_memory_equal(data, "\1\0\0\0", 4); /* no DMA */
	read_item(&f, TT_FW_CFG_NB_CPUS, data, 2);
	assert_memory_equal(data, "\1\0", 2);
	read_item(&f, 0x8002, data, 8); /* there is none */
	assert_memory_equal(data, "\0\0\0\0\0\0\0\0", 8);

	/* Selecting starts from the beginning; nothing can be written. */
	fake_outw(&f, PORT_SELECTOR, TT_FW_CFG_SIGNATURE);
	assert_int_equal(fake_inb(&f, PORT_DATA), 'Q');
	fake_outb(&f, PORT_DATA, 'X');
	assert_int_equal(fake_inb(&f, PORT_DATA), 'E');
	fake_outb(&f, PORT_SELECTOR, TT_FW_CFG_ID); /* a byte is no selection */
	assert_int_equal(fake_inb(&f, PORT_DATA), 'M');
	fake_outw(&f, PORT_SELECTOR, TT_FW_CFG_SIGNATURE);
	assert_int_equal(fake_inb(&f, PORT_DATA), 'Q');
	assert_int_equal(fake_inb(&f, PORT_SELECTOR), 0xff);
	fake_machine_destroy(&f);
}

static void test_too_many_files(void **state)
{
	struct tt_error err = { 0 };
	struct tt_fw_cfg *fw_cfg;
	char name[TT_FW_CFG_NAME_SIZE + 1];
	struct fake_machine f;
	int ret = 0, i;

	(void)state;
	fake_machine_create_bare(&f, 1);
	assert_int_equal(tt_fw_cfg_create(&f.m, &fw_cfg, &err), 0);
	memset(name, 'x', sizeof(name));
	name[TT_FW_CFG_NAME_SIZE] = 0;
	assert_int_equal(tt_fw_cfg_add_file(fw_cfg, name, "", 0), -ENOSPC);
	name[TT_FW_CFG_NAME_SIZE - 1] = 0;
	assert_int_equal(tt_fw_cfg_add_file(fw_cfg, name, "abc", 3), 0);
	for (i = 0; i < 100 && !ret; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ret = tt_fw_cfg_add_file(fw_cfg, name, "", 0);
	}
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(read_file(&f, "3", name, sizeof(name)), 0);
	memset(name, 'x', sizeof(name));
	name[TT_FW_CFG_NAME_SIZE - 1] = 0;
	assert_int_equal(read_file(&f, name, name, sizeof(name)), 3);
	assert_memory_equal(name, "abc", 3);
	fake_machine_destroy(&f);
}

static void test_memory_map(void **state)
{
	struct map_entry map[4];
	struct fake_machine f;
	void *rom;

	(void)state;
	assert_int_equal(create(&f, ROM_SIZE, 0, &rom), 0);
	assert_int_equal(read_file(&f, "etc/e820", map, sizeof(map)), 2 * sizeof(map[0]));
	assert_int_equal(map[0].gpa, 0);
	assert_int_equal(map[0].type, 1);
	assert_int_equal(map[1].gpa, map[0].size);
	assert_int_equal(map[1].gpa, tt_acpi_tables_gpa(&f.m));
	assert_int_equal(map[1].gpa + map[1].size, FAKE_RAM_SIZE);
	assert_int_equal(map[1].type, 2);
	fake_machine_destroy(&f);
}

static void test_memory_map_above_4_gib(void **state)
{
	uint8_t image[TT_FIRMWARE_ALIGN] = { 0 };
	struct tt_error err = { 0 };
	struct map_entry map[4];
	struct fake_machine f;
	void *rom;

	(void)state;
	fake_machine_create_bare(&f, 1);
	f.m.config.firmware = (struct tt_blob){ image, sizeof(image) };
	f.m.memory.size += 5ull << 30;
	assert_int_equal(tt_firmware_load_memory(&f.m, &rom, &err), 0);
	assert_int_equal(read_file(&f, "etc/e820", map, sizeof(map)), 3 * sizeof(map[0]));
	assert_true(map[2].gpa == 1ull << 32);
	assert_true(map[2].size == 5ull << 30);
	assert_int_equal(map[2].type, 1);
	fake_machine_destroy(&f);
}

/* A loader that puts the RSDP anywhere leads an operating system to the tables. */
static void test_acpi_root(void **state)
{
	uint8_t script[256], rsdp[64], sum = 0;
	uint32_t command, align, xsdt, i;
	struct fake_machine f;
	const uint8_t *table;
	void *rom;

	(void)state;
	assert_int_equal(create(&f, ROM_SIZE, 0, &rom), 0);
	assert_int_equal(read_file(&f, "etc/table-loader", script, sizeof(script)), 128);
	memcpy(&command, script, 4);
	memcpy(&align, script + 60, 4);
	assert_int_equal(command, 1); /* allocate */
	assert_string_equal((char *)script + 4, "etc/acpi/rsdp");
	assert_int_equal(align, 16);
	assert_int_equal(script[64], 2); /* below 1 MiB */

	assert_int_equal(read_file(&f, "etc/acpi/rsdp", rsdp, sizeof(rsdp)), 36);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	for (i = 0; i < 36; i++)
		sum += rsdp[i];
	assert_int_equal(sum, 0);
	memcpy(&xsdt, rsdp + 24, 4);
	assert_in_range(xsdt, tt_acpi_tables_gpa(&f.m), FAKE_RAM_SIZE - 36);
	table = f.m.memory.hva + xsdt;
	assert_memory_equal(table, "XSDT", 4);
	memcpy(&xsdt, table + 36, 4); /* its first table */
	assert_in_range(xsdt, tt_acpi_tables_gpa(&f.m), FAKE_RAM_SIZE - 36);
	assert_memory_equal(f.m.memory.hva + xsdt, "FACP", 4);
	fake_machine_destroy(&f);
}

static void test_boot_order(void **state)
{
	static const char order[] = "/pci@i0cf8/scsi@8/disk@0,0\n/pci@i0cf8/scsi@9/disk@0,0\nHALT";
	struct fake_machine f;
	char text[512];
	uint16_t port;
	void *rom;

	(void)state;
	assert_int_equal(create(&f, ROM_SIZE, 2, &rom), 0);
	assert_int_equal(read_file(&f, "bootorder", text, sizeof(text)), sizeof(order));
	assert_string_equal(text, order);
	assert_int_equal(read_file(&f, "etc/sercon-port", &port, sizeof(port)), 2);
	assert_int_equal(port, 0x3f8);
	fake_machine_destroy(&f);

	assert_int_equal(create(&f, ROM_SIZE, TT_MAX_DISKS, &rom), 0);
	assert_int_equal(read_file(&f, "bootorder", text, sizeof(text)), TT_MAX_DISKS * 27 + 5);
	assert_non_null(strstr(text, "scsi@f/disk@0,0\nHALT"));
	fake_machine_destroy(&f);

	assert_int_equal(create(&f, ROM_SIZE, 0, &rom), 0);
	assert_int_equal(read_file(&f, "bootorder", text, sizeof(text)), 5);
	assert_string_equal(text, "HALT");
	fake_machine_destroy(&f);
}

/* ------------------------------------------------------------------ chip set */

static void test_host_bridge(void **state)
{
	struct fake_machine f;
	void *rom;

	(void)state;
	assert_int_equal(create(&f, ROM_SIZE, 0, &rom), 0);
	fake_outl(&f, 0xcf8, 0x80000000);
	assert_int_equal(fake_inl(&f, 0xcfc), 0x12378086);
	fake_outl(&f, 0xcf8, 0x8000002c);
	assert_int_equal(fake_inl(&f, 0xcfc), 0x11001af4);

	/* Shadow RAM: closed at reset, opened, and written whatever it says. */
	fake_outl(&f, 0xcf8, 0x80000058);
	assert_int_equal(fake_inl(&f, 0xcfc), 0);
	fake_outl(&f, 0xcfc, 0x33333000);
	assert_int_equal(fake_inl(&f, 0xcfc), 0x33333000);
	fake_outl(&f, 0xcf8, 0x8000005c);
	fake_outl(&f, 0xcfc, 0xffffffff);
	assert_int_equal(fake_inl(&f, 0xcfc), 0x33333333);
	fake_machine_destroy(&f);
}

static void test_port_92(void **state)
{
	struct fake_machine f;
	void *rom;

	(void)state;
	assert_int_equal(create(&f, ROM_SIZE, 0, &rom), 0);
	assert_int_equal(fake_inb(&f, 0x92), 0x02);
	fake_outb(&f, 0x92, 0x00);
	assert_int_equal(fake_inb(&f, 0x92), 0x00);
	fake_outb(&f, 0x92, 0x02);
	assert_int_equal(fake_inb(&f, 0x92), 0x02);
	assert_int_equal(f.m.end, TT_END_NONE);
	fake_outb(&f, 0x92, 0x03);
	assert_int_equal(f.m.end, TT_END_RESET);
	fake_machine_destroy(&f);
}

static void test_reset_port(void **state)
{
	struct fake_machine f;
	void *rom;

	(void)state;
	assert_int_equal(create(&f, ROM_SIZE, 0, &rom), 0);
	fake_outl(&f, 0xcf8, 0x80000600); /* its second byte is none for that port */
	fake_outb(&f, 0xcf9, 0x02);
	assert_int_equal(f.m.end, TT_END_NONE);
	fake_outb(&f, 0xcf9, 0x06);
	assert_int_equal(f.m.end, TT_END_RESET);
	assert_int_equal(fake_inl(&f, 0xcf8), 0x80000600);
	fake_machine_destroy(&f);
}

static void test_reset(void **state)
{
	struct fake_machine used, new;
	struct tt_device *dev;
	uint8_t *a, *b;
	size_t size;
	void *rom;

	(void)state;
	assert_int_equal(create(&used, ROM_SIZE, 1, &rom), 0);
	assert_int_equal(create(&new, ROM_SIZE, 1, &rom), 0);
	fake_outb(&used, 0x92, 0x00);
	fake_outw(&used, PORT_SELECTOR, TT_FW_CFG_FILE_DIR);
	fake_inb(&used, PORT_DATA);
	fake_outl(&used, 0xcf8, 0x80000058);
	fake_outl(&used, 0xcfc, 0x33333000);
	for (dev = used.m.devices; dev; dev = dev->next)
		dev->reset(dev);
	a = fake_machine_state(&used, &size);
	b = fake_machine_state(&new, &size);
	assert_memory_equal(a, b, size);
	free(a);
	free(b);
	fake_machine_destroy(&used);
	fake_machine_destroy(&new);
}

/* Two machines that are given the same random accesses answer the same, whatever these are. */
static void test_random_accesses(void **state)
{
	static const uint16_t ports[] = {
		0x91, 0x92, 0x93, 0x50f, 0x510, 0x511, 0x512, 0xcf8, 0xcfc
	};
	struct fake_machine a, b;
	uint8_t *state_a, *state_b;
	uint64_t seed = 1;
	size_t size;
	void *rom;
	int i;

	(void)state;
	assert_int_equal(create(&a, ROM_SIZE, 3, &rom), 0);
	assert_int_equal(create(&b, ROM_SIZE, 3, &rom), 0);
	for (i = 0; i < 200000; i++) {
		uint32_t x, y;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		x = y = i % 3 ? seed >> 32 & 0x3f : seed >> 32; /* often an item's number */
		tt_bus_pio(&a.m, ports[(seed >> 40) % (sizeof(ports) / sizeof(ports[0]))], &x,
			   1u << (seed >> 50) % 3, seed >> 60 & 1);
		tt_bus_pio(&b.m, ports[(seed >> 40) % (sizeof(ports) / sizeof(ports[0]))], &y,
			   1u << (seed >> 50) % 3, seed >> 60 & 1);
		assert_int_equal(x, y);
	}
	state_a = fake_machine_state(&a, &size);
	state_b = fake_machine_state(&b, &size);
	assert_memory_equal(state_a, state_b, size);
	free(state_a);
	free(state_b);
	fake_machine_destroy(&a);
	fake_machine_destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rom),
		cmocka_unit_test(test_what_is_no_rom),
		cmocka_unit_test(test_too_little_memory),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_too_many_files),
		cmocka_unit_test(test_memory_map),
		cmocka_unit_test(test_memory_map_above_4_gib),
		cmocka_unit_test(test_acpi_root),
		cmocka_unit_test(test_boot_order),
		cmocka_unit_test(test_host_bridge),
		cmocka_unit_test(test_port_92),
		cmocka_unit_test(test_reset_port),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_random_accesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
