// SPDX-License-Identifier: GPL-2.0
/*
 * test_acpi.c - the ACPI tables: pointers, lengths, checksums, contents; and, where iasl is
 * installed, what it thinks of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "aml.h"
#include "fake-machine.h"

static const uint8_t *at(struct fake_machine *f, uint64_t gpa)
{
	assert_in_range(gpa, TT_ACPI_TABLES_GPA, TT_ACPI_TABLES_GPA + TT_ACPI_TABLES_SIZE - 1);
	return f->m.memory.hva + gpa;
}

static uint64_t field(const uint8_t *table, size_t offset, unsigned int bytes)
{
	uint64_t value = 0;

	memcpy(&value, table + offset, bytes);
	return value;
}

static void assert_sums_to_zero(const uint8_t *bytes, size_t size)
{
	uint8_t sum = 0;

	while (size--)
		sum += *bytes++;
	assert_int_equal(sum, 0);
}

static void assert_table(const uint8_t *table, const char *signature)
{
	assert_memory_equal(table, signature, 4);
	assert_in_range(field(table, 4, 4), 36, TT_ACPI_TABLES_SIZE);
	assert_sums_to_zero(table, field(table, 4, 4));
}

static void create(struct fake_machine *f, unsigned int num_vcpus)
{
	struct tt_error err = { 0 };

	fake_machine_create_bare(f, num_vcpus);
	assert_int_equal(tt_acpi_write_tables(&f->m, &err), 0);
}

static void test_roots(void **state)
{
	struct fake_machine f;
	const uint8_t *rsdp, *rsdt, *xsdt;

	(void)state;
	create(&f, 1);
	rsdp = at(&f, TT_ACPI_TABLES_GPA);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(rsdp[15], 2);
	assert_sums_to_zero(rsdp, 20);
	assert_sums_to_zero(rsdp, 36);
	rsdt = at(&f, field(rsdp, 16, 4));
	xsdt = at(&f, field(rsdp, 24, 8));
	assert_table(rsdt, "RSDT");
	assert_table(xsdt, "XSDT");
	assert_int_equal(field(rsdt, 4, 4), 36 + 2 * 4);
	assert_int_equal(field(xsdt, 4, 4), 36 + 2 * 8);
	assert_table(at(&f, field(xsdt, 36, 8)), "FACP");
	assert_table(at(&f, field(xsdt, 44, 8)), "APIC");
	assert_int_equal(field(rsdt, 36, 4), field(xsdt, 36, 8));
	assert_int_equal(field(rsdt, 40, 4), field(xsdt, 44, 8));
	fake_machine_destroy(&f);
}

static const uint8_t *table(struct fake_machine *f, unsigned int nr)
{
	const uint8_t *xsdt = at(f, field(at(f, TT_ACPI_TABLES_GPA), 24, 8));

	return at(f, field(xsdt, 36 + nr * 8, 8));
}

static void test_fadt(void **state)
{
	struct fake_machine f;
	const uint8_t *fadt;

	(void)state;
	create(&f, 1);
	fadt = table(&f, 0);
	assert_memory_equal(at(&f, field(fadt, 36, 4)), "FACS", 4);
	assert_int_equal(field(fadt, 36, 4) % 64, 0);
	assert_table(at(&f, field(fadt, 40, 4)), "DSDT");
	assert_int_equal(field(fadt, 46, 2), TT_GSI_ACPI_SCI);
	assert_int_equal(field(fadt, 48, 4), 0); /* no SMI command */
	assert_int_equal(field(fadt, 56, 4), TT_PORT_ACPI_PM1_EVENT);
	assert_int_equal(field(fadt, 64, 4), TT_PORT_ACPI_PM1_CONTROL);
	assert_int_equal(field(fadt, 76, 4), TT_PORT_ACPI_PM_TIMER);
	assert_int_equal(fadt[108], 0x32);			  /* century */
	assert_int_equal(field(fadt, 109, 2) & 1 << 1, 0);	  /* no 8042 */
	assert_int_equal(field(fadt, 109, 2) & 1 << 2, 1 << 2);	  /* no VGA */
	assert_int_equal(field(fadt, 109, 2) & 1 << 5, 0);	  /* CMOS clock */
	assert_int_equal(field(fadt, 112, 4) & 1 << 20, 0);	  /* not hardware-reduced */
	assert_int_equal(field(fadt, 112, 4) & 1 << 10, 1 << 10); /* reset register */
	assert_int_equal(field(fadt, 112, 4) & 1 << 8, 1 << 8);	  /* 32-bit PM timer */
	assert_int_equal(field(fadt, 120, 8), TT_PORT_ACPI_RESET);
	assert_int_equal(fadt[128], 1);
	fake_machine_destroy(&f);
}

static void test_madt_lists_what_there_is(void **state)
{
	struct fake_machine f;
	const uint8_t *madt, *entry;
	unsigned int lapics = 0, ioapics = 0, overrides = 0;

	(void)state;
	create(&f, 3);
	madt = table(&f, 1);
	assert_int_equal(field(madt, 36, 4), TT_LAPIC_BASE);
	for (entry = madt + 44; entry < madt + field(madt, 4, 4); entry += entry[1]) {
		assert_true(entry[1] >= 2);
		switch (entry[0]) {
		case 0:
			assert_int_equal(entry[3], lapics++);
			assert_int_equal(field(entry, 4, 4), 1);
			break;
		case 1:
			ioapics++;
			assert_int_equal(field(entry, 4, 4), TT_IOAPIC_BASE);
			assert_int_equal(field(entry, 8, 4), 0);
			break;
		case 2:
			if (entry[3] == 0) {
				assert_int_equal(field(entry, 4, 4), 2);
			} else {
				assert_int_equal(entry[3], TT_GSI_ACPI_SCI);
				assert_int_equal(field(entry, 8, 2), 0xd); /* level, active high */
			}
			overrides++;
			break;
		}
	}
	assert_ptr_equal(entry, madt + field(madt, 4, 4));
	assert_int_equal(lapics, 3);
	assert_int_equal(ioapics, 1);
	assert_int_equal(overrides, 2);
	fake_machine_destroy(&f);
}

static void test_bad_machines_are_refused(void **state)
{
	struct fake_machine f;
	struct tt_error err = { 0 };

	(void)state;
	fake_machine_create_bare(&f, 1);
	f.m.memory.size = f.m.memory.low_size = 640 << 10;
	assert_int_equal(tt_acpi_write_tables(&f.m, &err), -EINVAL);
	assert_non_null(strstr(err.text, "memory"));
	f.m.memory.size = f.m.memory.low_size = FAKE_RAM_SIZE;
	f.m.config.num_vcpus = 256;
	assert_int_equal(tt_acpi_write_tables(&f.m, &err), -EINVAL);
	assert_non_null(strstr(err.text, "256"));
	f.m.config.num_vcpus = 255;
	assert_int_equal(tt_acpi_write_tables(&f.m, &err), 0);
	fake_machine_destroy(&f);
}

static void test_aml_overflow_is_noticed(void **state)
{
	uint8_t buffer[16];
	struct tt_aml aml = { .data = buffer, .size = sizeof(buffer) };
	unsigned int i;

	(void)state;
	tt_aml_scope(&aml, "\\_SB");
	tt_aml_resources(&aml);
	for (i = 0; i < 4; i++)
		tt_aml_io(&aml, 0x3f8, 8);
	tt_aml_end(&aml);
	tt_aml_end(&aml);
	assert_true(aml.overflow);

	aml = (struct tt_aml){ .data = buffer, .size = sizeof(buffer) };
	tt_aml_end(&aml);
	assert_true(aml.overflow);

	aml = (struct tt_aml){ .data = buffer, .size = sizeof(buffer) };
	tt_aml_name(&aml, "A");
	tt_aml_eisa_id(&aml, "PNP0A03");
	assert_false(aml.overflow);
	assert_memory_equal(buffer,
			    "\x08"
			    "A___\x0c\x41\xd0\x0a\x03",
			    10);
}

static void test_iasl_reads_the_dsdt(void **state)
{
	static const char *const expected[] = {
		"Name (\\_S5, Package (0x04)",
		"Device (PCI0)",
		"EisaId (\"PNP0A03\")",
		"WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,",
		"0xFEBFFFFF",
		"Name (_PRT, Package (0x1F)",
		"0x001FFFFF",
		"Device (COM1)",
		"EisaId (\"PNP0501\")",
		"0x03F8",
		"IRQNoFlags ()",
		"Device (RTC0)",
	};
	struct fake_machine f;
	char dir[] = "/tmp/ttvm-acpi-XXXXXX", path[64], command[256], text[16384];
	const uint8_t *dsdt;
	size_t i, len;
	FILE *file;

	(void)state;
	if (system("command -v iasl >/dev/null"))
		skip(); /* no iasl: apt-get install acpica-tools */
	create(&f, 2);
	dsdt = at(&f, field(table(&f, 0), 40, 4));
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/dsdt.aml", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(dsdt, field(dsdt, 4, 4), 1, file), 1);
	fclose(file);
	/* Disassembles, and what comes out compiles again without an error or a warning. */
	snprintf(command, sizeof(command),
		 "cd %s && iasl -d dsdt.aml >d.log 2>&1 && iasl -we -p again dsdt.dsl >c.log 2>&1",
		 dir);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/dsdt.dsl", dir);
	file = fopen(path, "r");
	assert_non_null(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = 0;
	for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_non_null(strstr(text, expected[i]));
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt_lists_what_there_is),
		cmocka_unit_test(test_bad_machines_are_refused),
		cmocka_unit_test(test_aml_overflow_is_noticed),
		cmocka_unit_test(test_iasl_reads_the_dsdt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
