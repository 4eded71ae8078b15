// SPDX-License-Identifier: GPL-2.0
/*
 * boot.c - from a kernel file to a machine that is ready to run it: recognize the file, place
 * kernel, initrd and command line, and leave the rest to the file of the protocol (boot_linux.c,
 * boot_pvh.c) and of the CPU (boot_cpu.c).
 */
#include <string.h>
#include <sys/ioctl.h>

#include "boot.h"
#include "firmware.h"

#define PAGE		      4096ull
#define MIB(bytes)	      ((unsigned long long)((bytes) >> 20))
#define MIB_ROUNDED_UP(bytes) ((unsigned long long)(((bytes) + (1 << 20) - 1) >> 20))

static const struct {
	uint8_t magic[8];
	size_t len;
	const char *what;
} other_files[] = {
	{{0x1f, 0x8b}, 2, "a gzip file: unpack it with gunzip"},
	{{0xfd, '7', 'z', 'X', 'Z'}, 5, "an xz file: unpack it with unxz"},
	{{0x28, 0xb5, 0x2f, 0xfd}, 4, "a zstd file: unpack it with unzstd"},
	{{'Q', 'F', 'I', 0xfb}, 4, "a qcow2 disk image: name the kernel that is to be started"},
	{{'!', '<', 'a', 'r', 'c', 'h', '>'}, 7, "a package or archive: unpack the kernel from it"},
	{{'0', '7', '0', '7', '0'}, 5, "a cpio archive: it goes to --initrd"},
	{{'M', 'Z'}, 2, "an EFI program without a Linux boot header: name an x86 bzImage"},
};

int tt_boot_parse(const char *name, struct tt_blob kernel, struct tt_boot_image *image,
		  struct tt_error *err)
{
	const uint8_t *data = kernel.data;
	size_t i;

	memset(image, 0, sizeof(*image));
	if (kernel.size == 0)
		return tt_fail(err, -ENOEXEC,
			       "%s: the file is empty; name an ELF or bzImage kernel", name);
	if (tt_boot_is_elf(kernel))
		return tt_boot_parse_elf(name, kernel, image, err);
	if (tt_boot_is_bzimage(kernel))
		return tt_boot_parse_bzimage(name, kernel, image, err);
	for (i = 0; i < sizeof(other_files) / sizeof(other_files[0]); i++) {
		if (kernel.size >= other_files[i].len &&
		    memcmp(data, other_files[i].magic, other_files[i].len) == 0)
			return tt_fail(err, -ENOEXEC, "%s: not a kernel but %s", name,
				       other_files[i].what);
	}
	if (kernel.size < 4)
		return tt_fail(err, -ENOEXEC,
			       "%s: not an ELF or bzImage file (only %zu bytes long)", name,
			       kernel.size);
	return tt_fail(err, -ENOEXEC, "%s: not an ELF or bzImage file (magic %02x %02x %02x %02x)",
		       name, data[0], data[1], data[2], data[3]);
}

int tt_boot_probe(const char *name, struct tt_blob kernel, struct tt_error *err)
{
	struct tt_boot_image image;

	return tt_boot_parse(name, kernel, &image, err);
}

/* Ends are exact: parsers and tt_memory_at() have made sure that nothing wraps. */
static bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static int check_segments(const struct tt_machine_config *config, const struct tt_memory *mem,
			  const struct tt_boot_image *image, struct tt_error *err)
{
	const char *name = config->kernel_name;
	unsigned int i, j;

	for (i = 0; i < image->num_segments; i++) {
		const struct tt_boot_segment *s = &image->segments[i];
		unsigned long long from = s->gpa, size = s->memory_size;

		if (s->gpa < BOOT_KERNEL_MIN)
			return tt_fail(
				err, -ENOEXEC,
				"%s: a segment wants to be at address 0x%llx, where boot data "
				"and firmware lie; link the kernel at 1 MiB or above",
				name, from);
		/* Page tables at the start and the PCI hole limit it to what is below the hole. */
		if (s->gpa + s->memory_size > TT_RAM_BELOW_4G)
			return tt_fail(err, -ENOEXEC,
				       "%s: a segment of 0x%llx bytes at address 0x%llx "
				       "lies outside of any possible memory; is the file damaged?",
				       name, size, from);
		if (!tt_memory_at(mem, s->gpa, s->memory_size))
			return tt_fail(err, -ENOMEM,
				       "%s: --mem %lluM is too small for this kernel, which fills "
				       "0x%llx-0x%llx; give it at least --mem %lluM",
				       name, MIB(mem->size), from, from + size - 1,
				       MIB_ROUNDED_UP(s->gpa + s->memory_size));
		for (j = 0; j < i; j++) {
			const struct tt_boot_segment *t = &image->segments[j];

			if (ranges_overlap(s->gpa, s->memory_size, t->gpa, t->memory_size))
				return tt_fail(err, -ENOEXEC,
					       "%s: its segments at 0x%llx and 0x%llx overlap; is "
					       "the file damaged?",
					       name, (unsigned long long)t->gpa, from);
		}
	}
	return 0;
}

/* As high as the kernel allows, in one piece, above the kernel. */
static int place_initrd(const struct tt_machine_config *config, const struct tt_memory *mem,
			const struct tt_boot_image *image, struct tt_boot_layout *layout,
			struct tt_error *err)
{
	uint64_t size = config->initrd.size, rounded, top, kernel_end = BOOT_KERNEL_MIN;
	unsigned int i;

	layout->initrd_size = size;
	if (size == 0)
		return 0;
	for (i = 0; i < image->num_segments; i++) {
		uint64_t end = image->segments[i].gpa + image->segments[i].memory_size;

		if (end > kernel_end)
			kernel_end = end;
	}
	top = mem->low_size;
	if (image->initrd_max < top)
		top = image->initrd_max + 1;
	top &= ~(PAGE - 1);
	rounded = (size + PAGE - 1) & ~(PAGE - 1);
	if (rounded < size || rounded > top || top - rounded < kernel_end) {
		uint64_t need = kernel_end + rounded;

		if (rounded < size || need > TT_RAM_BELOW_4G || need > image->initrd_max)
			return tt_fail(err, -ENOMEM,
				       "the initrd of %llu MiB does not fit below address 0x%llx, "
				       "the highest that %s can take; use a smaller one",
				       MIB_ROUNDED_UP(size), (unsigned long long)image->initrd_max,
				       config->kernel_name);
		return tt_fail(err, -ENOMEM,
			       "--mem %lluM is too small for the initrd of %llu MiB beside %s; "
			       "give it at least --mem %lluM",
			       MIB(mem->size), MIB_ROUNDED_UP(size), config->kernel_name,
			       MIB_ROUNDED_UP(need));
	}
	layout->initrd_gpa = top - rounded;
	memcpy(tt_memory_at(mem, layout->initrd_gpa, size), config->initrd.data, size);
	return 0;
}

static void add_range(struct tt_boot_layout *layout, uint64_t from, uint64_t to, uint32_t type)
{
	struct tt_boot_range *range = &layout->ranges[layout->num_ranges++];

	range->gpa = from;
	range->size = to - from;
	range->type = type;
}

static void make_memory_map(const struct tt_memory *mem, struct tt_boot_layout *layout)
{
	add_range(layout, 0, BOOT_LOW_RAM_END, BOOT_RANGE_RAM);
	add_range(layout, BOOT_LOW_RAM_END, 0xa0000, BOOT_RANGE_RESERVED);
	/* ACPI tables, and the rest up to 1 MiB, where a PC has its firmware. */
	add_range(layout, TT_ACPI_TABLES_GPA, 0x100000, BOOT_RANGE_RESERVED);
	add_range(layout, 0x100000, mem->low_size, BOOT_RANGE_RAM);
	if (mem->size > mem->low_size)
		add_range(layout, 1ull << 32, (1ull << 32) + mem->size - mem->low_size,
			  BOOT_RANGE_RAM);
}

/*
 * Linux learns the TSC's frequency from CPUID on Intel only. Elsewhere it measures, against a PIT whose
 * every read leaves the guest; on a slow machine that fails, and then Linux gives up the TSC and the
 * deadline timer for good. So the loader says it, as it says where the initrd is.
 */
static void append_tsc_frequency(const struct tt_machine_config *config, char *line, size_t len,
				 uint64_t max)
{
	const char *name = "tsc_early_khz=";
	char text[64];
	int extra;

	if (!config->cpuid || !config->tsc_hz || tt_cpuid_is_intel(config->cpuid) ||
	    strstr(line, name))
		return;
	extra = snprintf(text, sizeof(text), "%s%s%llu", len ? " " : "", name,
			 (unsigned long long)(config->tsc_hz / 1000));
	if (len + extra <= max)
		memcpy(line + len, text, extra + 1);
}

static int write_command_line(const struct tt_machine_config *config, const struct tt_memory *mem,
			      const struct tt_boot_image *image, struct tt_error *err)
{
	char *to = tt_memory_at(mem, BOOT_COMMAND_LINE_GPA, BOOT_COMMAND_LINE_ROOM);
	const char *line = config->command_line ? config->command_line : "";
	size_t len = strlen(line);
	uint64_t max = BOOT_COMMAND_LINE_ROOM - 1;

	if (image->command_line_max < max)
		max = image->command_line_max;
	if (len > max)
		return tt_fail(err, -E2BIG,
			       "the kernel command line has %zu bytes, %s takes %llu; "
			       "shorten --append",
			       len, config->kernel_name, (unsigned long long)max);
	memcpy(to, line, len + 1);
	if (image->protocol == BOOT_LINUX64)
		append_tsc_frequency(config, to, len, max);
	return 0;
}

int tt_boot_load_memory(const struct tt_machine_config *config, const struct tt_memory *mem,
			struct tt_boot_image *image, struct tt_error *err)
{
	struct tt_boot_layout layout = {0};
	unsigned int i;
	int ret;

	ret = tt_boot_parse(config->kernel_name, config->kernel, image, err);
	if (ret)
		return ret;
	if (mem->low_size <= BOOT_KERNEL_MIN)
		return tt_fail(err, -ENOMEM,
			       "--mem %lluK is too small for any kernel; give it at least --mem 2M",
			       (unsigned long long)(mem->size >> 10));
	ret = check_segments(config, mem, image, err);
	if (ret)
		return ret;
	for (i = 0; i < image->num_segments; i++) {
		const struct tt_boot_segment *s = &image->segments[i];
		uint8_t *to = tt_memory_at(mem, s->gpa, s->memory_size);

		memcpy(to, (const uint8_t *)config->kernel.data + s->file_offset, s->file_size);
	}
	ret = place_initrd(config, mem, image, &layout, err);
	if (ret)
		return ret;
	ret = write_command_line(config, mem, image, err);
	if (ret)
		return ret;
	make_memory_map(mem, &layout);
	if (image->protocol == BOOT_LINUX64)
		ret = tt_boot_write_zero_page(config, mem, image, &layout);
	else
		ret = tt_boot_write_start_info(mem, &layout);
	if (!ret)
		ret = tt_boot_write_tables(mem, image->protocol);
	if (ret)
		return tt_fail(err, ret, "%s: boot data does not fit into memory",
			       config->kernel_name);
	return 0;
}

/*
 * MTRRs say write-back for all memory, as firmware leaves them; at reset they are off, and then
 * Linux 6.1 does without PAT as well.
 */
static int set_msrs(struct tt_vcpu *vcpu, struct tt_error *err)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[1];
	} msrs = {
		.head = {.nmsrs = 1},
		.entries = {{.index = 0x2ff /* IA32_MTRR_DEF_TYPE */, .data = 0x806}},
	};

	if (ioctl(vcpu->fd, KVM_SET_MSRS, &msrs) != 1)
		return tt_fail(err, -EIO, "KVM_SET_MSRS: KVM refuses to enable the guest's MTRRs");
	return 0;
}

int tt_boot_load(struct tt_machine *m, struct tt_error *err)
{
	struct tt_boot_image image;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int fd = m->vcpus[0].fd;
	int ret;

	if (m->config.firmware.size)
		return tt_firmware_load(m, err);
	ret = tt_boot_load_memory(&m->config, &m->memory, &image, err);
	if (ret)
		return ret;
	ret = tt_acpi_write_tables(m, err);
	if (ret)
		return ret;
	if (ioctl(fd, KVM_GET_SREGS, &sregs) < 0)
		return tt_fail(err, -errno, "KVM_GET_SREGS: %s", strerror(errno));
	tt_boot_registers(&image, &regs, &sregs);
	if (ioctl(fd, KVM_SET_SREGS, &sregs) < 0)
		return tt_fail(err, -errno, "KVM_SET_SREGS: %s", strerror(errno));
	if (ioctl(fd, KVM_SET_REGS, &regs) < 0)
		return tt_fail(err, -errno, "KVM_SET_REGS: %s", strerror(errno));
	m->entry_rip = image.entry;
	return set_msrs(&m->vcpus[0], err);
}
