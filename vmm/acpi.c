// SPDX-License-Identifier: GPL-2.0
/*
 * acpi.c - the ACPI tables: RSDP -> RSDT and XSDT -> FADT (-> FACS, DSDT), MADT. ACPI
 * specification 6.4, chapter 5.
 *
 * They lie one after the other at tt_acpi_tables_gpa(), the RSDP first, each aligned to 64 bytes.
 */
#include <string.h>

#include "acpi.h"
#include "aml.h"
#include "pci.h"

#define ALIGNMENT 64
#define OEM_ID	  "TTVM  "

struct generic_address {
	uint8_t space; /* 1: system I/O */
	uint8_t bits;
	uint8_t offset;
	uint8_t access_size; /* 1 byte, 2 word, 3 dword */
	uint64_t address;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct rsdt {
	struct header header;
	uint32_t tables[2];
} __attribute__((packed));

struct xsdt {
	struct header header;
	uint64_t tables[2];
} __attribute__((packed));

struct facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __attribute__((packed));

struct fadt {
	struct header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t reserved1;
	uint8_t preferred_profile;
	uint16_t sci_interrupt;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios_request, pstate_control;
	uint32_t pm1a_event, pm1b_event;
	uint32_t pm1a_control, pm1b_control;
	uint32_t pm2_control;
	uint32_t pm_timer;
	uint32_t gpe0, gpe1;
	uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
	uint8_t gpe0_length, gpe1_length, gpe1_base;
	uint8_t cstate_control;
	uint16_t c2_latency, c3_latency;
	uint16_t flush_size, flush_stride;
	uint8_t duty_offset, duty_width;
	uint8_t day_alarm, month_alarm, century;
	uint16_t boot_flags;
	uint8_t reserved2;
	uint32_t flags;
	struct generic_address reset_register;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor_revision;
	uint64_t x_facs;
	uint64_t x_dsdt;
	struct generic_address x_pm1a_event, x_pm1b_event;
	struct generic_address x_pm1a_control, x_pm1b_control;
	struct generic_address x_pm2_control;
	struct generic_address x_pm_timer;
	struct generic_address x_gpe0, x_gpe1;
	struct generic_address sleep_control, sleep_status;
	uint64_t hypervisor;
} __attribute__((packed));

_Static_assert(sizeof(struct rsdp) == 36, "ACPI 5.2.5.3");
_Static_assert(sizeof(struct header) == 36, "ACPI 5.2.6");
_Static_assert(sizeof(struct facs) == 64, "ACPI 5.2.10");
_Static_assert(sizeof(struct fadt) == 276, "ACPI 5.2.9");

#define FADT_WBINVD		       (1u << 0)
#define FADT_PROC_C1		       (1u << 2)
#define FADT_POWER_BUTTON	       (1u << 4) /* not a fixed button: there is none */
#define FADT_SLEEP_BUTTON	       (1u << 5)
#define FADT_RTC_NOT_FIXED	       (1u << 6) /* RTC wake status is not in the fixed registers */
#define FADT_TIMER_32_BIT	       (1u << 8)
#define FADT_RESET_REGISTER	       (1u << 10)
#define FADT_PROFILE_ENTERPRISE_SERVER 4

/* Boot flags: no 8042, the CMOS clock is there. */
#define BOOT_LEGACY_DEVICES (1u << 0)
#define BOOT_NO_VGA	    (1u << 2)

struct madt {
	struct header header;
	uint32_t lapic_address;
	uint32_t flags;
} __attribute__((packed));

#define MADT_PCAT_COMPATIBLE 1 /* there is a pair of 8259s */

struct madt_lapic {
	uint8_t type, length;
	uint8_t processor_uid;
	uint8_t apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t first_gsi;
} __attribute__((packed));

struct madt_override {
	uint8_t type, length;
	uint8_t bus;
	uint8_t irq;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_lapic_nmi {
	uint8_t type, length;
	uint8_t processor_uid;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

#define FLAGS_ACTIVE_HIGH_LEVEL 0x000d

/* The area that the tables are laid out in. */
struct area {
	uint8_t *base;
	uint64_t gpa; /* of base */
	size_t used;
	bool overflow;
};

/* Room for size bytes, zeroed; NULL when the area is full. */
static void *area_alloc(struct area *area, size_t size)
{
	uint8_t *table = area->base + area->used;

	if (size > TT_ACPI_TABLES_SIZE - area->used) {
		area->overflow = true;
		return NULL;
	}
	memset(table, 0, size);
	area->used = (area->used + size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	return table;
}

static uint64_t gpa_of(const struct area *area, const void *table)
{
	return area->gpa + ((const uint8_t *)table - area->base);
}

/* What to add so that all bytes sum up to zero. */
static uint8_t checksum(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint8_t sum = 0;

	while (size--)
		sum += *bytes++;
	return -sum;
}

static void fill_header(struct header *h, const char *signature, uint8_t revision, size_t length)
{
	memcpy(h->signature, signature, 4);
	h->length = length;
	h->revision = revision;
	memcpy(h->oem_id, OEM_ID, 6);
	memcpy(h->oem_table_id, "TTVM    ", 8);
	h->oem_revision = 1;
	memcpy(h->creator_id, "TTVM", 4);
	h->creator_revision = 1;
}

static void finish(struct header *h)
{
	h->checksum = 0;
	h->checksum = checksum(h, h->length);
}

static struct generic_address io_address(uint16_t port, uint8_t bits, uint8_t access_size)
{
	return (struct generic_address){ 1, bits, 0, access_size, port };
}

static void emit_pci_routing(struct tt_aml *aml)
{
	unsigned int device;

	tt_aml_name(aml, "_PRT");
	tt_aml_package(aml, TT_PCI_NUM_DEVICES - 1);
	for (device = 1; device < TT_PCI_NUM_DEVICES; device++) {
		tt_aml_package(aml, 4);
		tt_aml_integer(aml, device << 16 | 0xffff); /* all functions */
		tt_aml_integer(aml, 0);			    /* INTA */
		tt_aml_integer(aml, 0);			    /* a fixed GSI */
		tt_aml_integer(aml, TT_PCI_GSI(device));
		tt_aml_end(aml);
	}
	tt_aml_end(aml);
}

/*
 * Name (\_S5, Package () { 5, 5, 0, 0 })
 * Scope (\_SB) {
 *     Device (PCI0) {
 *         Name (_HID, EisaId ("PNP0A03"))
 *         Name (_UID, 0)
 *         Name (_CRS, ResourceTemplate () {
 *             WordBusNumber (0 .. 0), IO (0xcf8, 8), WordIO (0 .. 0xcf7), WordIO (0xd00 .. 0xffff),
 *             DWordMemory (0xc0000000 .. 0xfebfffff)
 *         })
 *         Name (_PRT, Package () {	// INTA of devices 1 to 31
 *             Package () { 0x0001ffff, 0, 0, 10 }, ...
 *         })
 *     }
 *     Device (COM1) {
 *         Name (_HID, EisaId ("PNP0501"))
 *         Name (_UID, 1)
 *         Name (_CRS, ResourceTemplate () { IO (0x3f8, 8), IRQNoFlags () {4} })
 *     }
 *     Device (RTC0) {
 *         Name (_HID, EisaId ("PNP0B00"))
 *         Name (_CRS, ResourceTemplate () { IO (0x70, 2), IRQNoFlags () {8} })
 *     }
 *     Device (SYSR) {	// the machine's own ports
 *         Name (_HID, EisaId ("PNP0C02"))
 *         Name (_CRS, ResourceTemplate () { IO (0x600, 16), IO (0xf4, 4) })
 *     }
 * }
 */
static void emit_dsdt(struct tt_aml *aml)
{
	tt_aml_name(aml, "\\_S5");
	tt_aml_package(aml, 4);
	tt_aml_integer(aml, TT_ACPI_S5);
	tt_aml_integer(aml, TT_ACPI_S5);
	tt_aml_integer(aml, 0);
	tt_aml_integer(aml, 0);
	tt_aml_end(aml);

	tt_aml_scope(aml, "\\_SB");

	tt_aml_device(aml, "PCI0");
	tt_aml_name(aml, "_HID");
	tt_aml_eisa_id(aml, "PNP0A03");
	tt_aml_name(aml, "_UID");
	tt_aml_integer(aml, 0);
	tt_aml_name(aml, "_CRS");
	tt_aml_resources(aml);
	tt_aml_bus_window(aml, 0, 0);
	tt_aml_io(aml, 0xcf8, 8);
	tt_aml_io_window(aml, 0x0000, 0x0cf7);
	tt_aml_io_window(aml, 0x0d00, 0xffff);
	tt_aml_memory_window(aml, TT_RAM_BELOW_4G, TT_IOAPIC_BASE - 1);
	tt_aml_end(aml);
	emit_pci_routing(aml);
	tt_aml_end(aml);

	tt_aml_device(aml, "COM1");
	tt_aml_name(aml, "_HID");
	tt_aml_eisa_id(aml, "PNP0501");
	tt_aml_name(aml, "_UID");
	tt_aml_integer(aml, 1);
	tt_aml_name(aml, "_CRS");
	tt_aml_resources(aml);
	tt_aml_io(aml, 0x3f8, 8);
	tt_aml_irq(aml, 4);
	tt_aml_end(aml);
	tt_aml_end(aml);

	tt_aml_device(aml, "RTC0");
	tt_aml_name(aml, "_HID");
	tt_aml_eisa_id(aml, "PNP0B00");
	tt_aml_name(aml, "_CRS");
	tt_aml_resources(aml);
	tt_aml_io(aml, 0x70, 2);
	tt_aml_irq(aml, 8);
	tt_aml_end(aml);
	tt_aml_end(aml);

	tt_aml_device(aml, "SYSR");
	tt_aml_name(aml, "_HID");
	tt_aml_eisa_id(aml, "PNP0C02");
	tt_aml_name(aml, "_CRS");
	tt_aml_resources(aml);
	tt_aml_io(aml, TT_PORT_ACPI_PM1_EVENT, TT_ACPI_PORTS_SIZE);
	tt_aml_io(aml, TT_PORT_DEBUG_EXIT, 4);
	tt_aml_end(aml);
	tt_aml_end(aml);

	tt_aml_end(aml);
}

static struct header *write_dsdt(struct area *area)
{
	struct header *h;
	uint8_t code[2048];
	struct tt_aml aml = { .data = code, .size = sizeof(code) };

	emit_dsdt(&aml);
	if (aml.overflow) {
		area->overflow = true;
		return NULL;
	}
	h = area_alloc(area, sizeof(*h) + aml.used);
	if (!h)
		return NULL;
	memcpy(h + 1, code, aml.used);
	fill_header(h, "DSDT", 2, sizeof(*h) + aml.used);
	finish(h);
	return h;
}

static struct facs *write_facs(struct area *area)
{
	struct facs *facs = area_alloc(area, sizeof(*facs));

	if (!facs)
		return NULL;
	memcpy(facs->signature, "FACS", 4);
	facs->length = sizeof(*facs);
	facs->version = 2;
	return facs;
}

static struct fadt *write_fadt(struct area *area, const struct facs *facs,
			       const struct header *dsdt)
{
	struct fadt *f = area_alloc(area, sizeof(*f));

	if (!f || !facs || !dsdt)
		return NULL;
	fill_header(&f->header, "FACP", 6, sizeof(*f));
	f->facs = gpa_of(area, facs); /* X_FIRMWARE_CTRL stays 0: only one of the two may be set */
	f->dsdt = gpa_of(area, dsdt);
	f->x_dsdt = f->dsdt;
	f->preferred_profile = FADT_PROFILE_ENTERPRISE_SERVER;
	f->sci_interrupt = TT_GSI_ACPI_SCI;
	f->pm1a_event = TT_PORT_ACPI_PM1_EVENT;
	f->pm1_event_length = 4;
	f->pm1a_control = TT_PORT_ACPI_PM1_CONTROL;
	f->pm1_control_length = 2;
	f->pm_timer = TT_PORT_ACPI_PM_TIMER;
	f->pm_timer_length = 4;
	f->c2_latency = 0xfff; /* neither C2 nor C3 */
	f->c3_latency = 0xfff;
	f->century = 0x32;
	f->boot_flags = BOOT_LEGACY_DEVICES | BOOT_NO_VGA;
	f->flags = FADT_WBINVD | FADT_PROC_C1 | FADT_POWER_BUTTON | FADT_SLEEP_BUTTON |
		   FADT_RTC_NOT_FIXED | FADT_TIMER_32_BIT | FADT_RESET_REGISTER;
	f->reset_register = io_address(TT_PORT_ACPI_RESET, 8, 1);
	f->reset_value = TT_ACPI_RESET_VALUE;
	f->minor_revision = 4;
	f->x_pm1a_event = io_address(TT_PORT_ACPI_PM1_EVENT, 32, 2);
	f->x_pm1a_control = io_address(TT_PORT_ACPI_PM1_CONTROL, 16, 2);
	f->x_pm_timer = io_address(TT_PORT_ACPI_PM_TIMER, 32, 3);
	finish(&f->header);
	return f;
}

static struct madt *write_madt(struct area *area, unsigned int num_vcpus)
{
	size_t size = sizeof(struct madt) + num_vcpus * sizeof(struct madt_lapic) +
		      sizeof(struct madt_ioapic) + 2 * sizeof(struct madt_override) +
		      sizeof(struct madt_lapic_nmi);
	struct madt *madt = area_alloc(area, size);
	struct madt_lapic *lapic;
	struct madt_ioapic *ioapic;
	struct madt_override *override;
	unsigned int i;

	if (!madt)
		return NULL;
	fill_header(&madt->header, "APIC", 5, size);
	madt->lapic_address = TT_LAPIC_BASE;
	madt->flags = MADT_PCAT_COMPATIBLE;
	lapic = (struct madt_lapic *)(madt + 1);
	for (i = 0; i < num_vcpus; i++)
		*lapic++ = (struct madt_lapic){ 0, sizeof(*lapic), i, i, 1 };
	ioapic = (struct madt_ioapic *)lapic;
	*ioapic = (struct madt_ioapic){ 1, sizeof(*ioapic), 0, 0, TT_IOAPIC_BASE, 0 };
	override = (struct madt_override *)(ioapic + 1);
	*override++ = (struct madt_override){ 2, sizeof(*override), 0, 0, 2, 0 };
	*override++ = (struct madt_override){
		2, sizeof(*override), 0, TT_GSI_ACPI_SCI, TT_GSI_ACPI_SCI, FLAGS_ACTIVE_HIGH_LEVEL
	};
	*(struct madt_lapic_nmi *)override =
		(struct madt_lapic_nmi){ 4, sizeof(struct madt_lapic_nmi), 0xff, 0, 1 };
	finish(&madt->header);
	return madt;
}

static void write_roots(struct area *area, struct rsdp *rsdp, const struct fadt *fadt,
			const struct madt *madt)
{
	struct rsdt *rsdt = area_alloc(area, sizeof(*rsdt));
	struct xsdt *xsdt = area_alloc(area, sizeof(*xsdt));

	if (area->overflow)
		return;
	fill_header(&rsdt->header, "RSDT", 1, sizeof(*rsdt));
	rsdt->tables[0] = gpa_of(area, fadt);
	rsdt->tables[1] = gpa_of(area, madt);
	finish(&rsdt->header);
	fill_header(&xsdt->header, "XSDT", 1, sizeof(*xsdt));
	xsdt->tables[0] = gpa_of(area, fadt);
	xsdt->tables[1] = gpa_of(area, madt);
	finish(&xsdt->header);

	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, OEM_ID, 6);
	rsdp->revision = 2;
	rsdp->rsdt = gpa_of(area, rsdt);
	rsdp->length = sizeof(*rsdp);
	rsdp->xsdt = gpa_of(area, xsdt);
	rsdp->checksum = checksum(rsdp, 20);
	rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
}

uint64_t tt_acpi_tables_gpa(const struct tt_machine *m)
{
	return m->config.firmware.size ? m->memory.low_size - TT_ACPI_TABLES_SIZE :
					 TT_ACPI_TABLES_GPA;
}

int tt_acpi_write_tables(struct tt_machine *m, struct tt_error *err)
{
	struct area area = { .gpa = tt_acpi_tables_gpa(m) };
	struct rsdp *rsdp;
	struct facs *facs;
	struct header *dsdt;
	struct fadt *fadt;
	struct madt *madt;

	area.base = tt_memory_at(&m->memory, area.gpa, TT_ACPI_TABLES_SIZE);
	if (!area.base)
		return tt_fail(err, -EINVAL, "no room for the ACPI tables: give the guest more "
			       "memory");
	if (m->config.num_vcpus > 255)
		return tt_fail(err, -EINVAL,
			       "%u vCPUs are more than xAPIC ids can tell apart (255)",
			       m->config.num_vcpus);
	rsdp = area_alloc(&area, sizeof(*rsdp));
	dsdt = write_dsdt(&area);
	facs = write_facs(&area);
	fadt = write_fadt(&area, facs, dsdt);
	madt = write_madt(&area, m->config.num_vcpus);
	if (!area.overflow)
		write_roots(&area, rsdp, fadt, madt);
	if (area.overflow)
		return tt_fail(err, -ENOSPC, "the ACPI tables do not fit into %llu bytes",
			       TT_ACPI_TABLES_SIZE);
	return 0;
}
