// SPDX-License-Identifier: GPL-2.0
/*
 * test_boot.c - kernel files of every kind and damage: what is loaded where, and what is refused
 * with which words.
 *
 * Kernels are made here byte by byte. Where a stock Debian kernel lies in the lab's cache, its
 * first bytes are mutated as well; TTVM_TEST_KERNEL names another one.
 */
#include <elf.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "boot.h"

#define MIB (1ull << 20)
#define RAM (64 * MIB)
#define LOAD_GPA 0x100000
#define TEXT_SIZE 0x1000

struct elf_kernel {
	Elf64_Ehdr ehdr;
	Elf64_Phdr text;
	Elf64_Phdr bss;
	Elf64_Phdr note;
	Elf64_Nhdr nhdr;
	uint8_t owner_and_entry[16];
	uint8_t code[TEXT_SIZE];
};

typedef uint64_t unaligned_u64 __attribute__((aligned(4)));

/* The note's name is padded to 4 bytes. */
static unaligned_u64 *entry_of(struct elf_kernel *k)
{
	return (unaligned_u64 *)(k->owner_and_entry + ((k->nhdr.n_namesz + 3) & ~3u));
}

static struct elf_kernel make_elf(const char *owner, uint32_t type)
{
	struct elf_kernel k = {
		.ehdr = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = LOAD_GPA + 0x20,
			.e_phoff = offsetof(struct elf_kernel, text),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 3,
		},
		.text = {
			.p_type = PT_LOAD,
			.p_offset = offsetof(struct elf_kernel, code),
			.p_vaddr = 0xffffffff80000000ull,
			.p_paddr = LOAD_GPA,
			.p_filesz = TEXT_SIZE,
			.p_memsz = TEXT_SIZE,
		},
		.bss = {
			.p_type = PT_LOAD,
			.p_offset = offsetof(struct elf_kernel, code),
			.p_paddr = LOAD_GPA + TEXT_SIZE,
			.p_memsz = 0x3000,
		},
		.note = {
			.p_type = PT_NOTE,
			.p_offset = offsetof(struct elf_kernel, nhdr),
			.p_filesz = sizeof(Elf64_Nhdr) + 8 + 8,
			.p_align = 4,
		},
		.nhdr = { .n_namesz = strlen(owner) + 1, .n_descsz = 8, .n_type = type },
	};

	strcpy((char *)k.owner_and_entry, owner);
	*entry_of(&k) = LOAD_GPA + 0x40;
	memset(k.code, 0x90, sizeof(k.code));
	return k;
}

#define BZ_SETUP 512
#define BZ_PAYLOAD 4096
struct bz_kernel {
	uint8_t sectors[2 * BZ_SETUP];
	uint8_t payload[BZ_PAYLOAD];
};

static struct setup_header *bz_header(struct bz_kernel *k)
{
	return (struct setup_header *)(k->sectors + 0x1f1);
}

static struct bz_kernel make_bzimage(void)
{
	struct bz_kernel k = { 0 };
	struct setup_header *h = bz_header(&k);

	h->setup_sects = 1;
	h->syssize = BZ_PAYLOAD / 16;
	h->boot_flag = 0xaa55;
	h->jump = 0x6aeb;
	h->header = 0x53726448;
	h->version = 0x20f;
	h->loadflags = LOADED_HIGH;
	h->xloadflags = XLF_KERNEL_64;
	h->relocatable_kernel = 1;
	h->pref_address = 16 * MIB;
	h->init_size = 8 * MIB;
	h->initrd_addr_max = 0x7fffffff;
	h->cmdline_size = 2047;
	memset(k.payload, 0xcc, sizeof(k.payload));
	return k;
}

struct loaded {
	struct tt_memory mem;
	struct tt_boot_image image;
	struct tt_error err;
	int ret;
};

static struct loaded load(const void *kernel, size_t size, uint64_t ram, const void *initrd,
			  size_t initrd_size, const char *line)
{
	struct tt_machine_config config = {
		.kernel_name = "k",
		.kernel = { kernel, size },
		.initrd = { initrd, initrd_size },
		.command_line = line,
		.rng_seed = { 1, 2, 3 },
	};
	struct loaded l = { 0 };

	assert_int_equal(tt_memory_create(&l.mem, ram, NULL), 0);
	l.ret = tt_boot_load_memory(&config, &l.mem, &l.image, &l.err);
	return l;
}

static void unload(struct loaded *l)
{
	tt_memory_destroy(&l->mem);
}

static void expect_refusal(const void *kernel, size_t size, uint64_t ram, int code,
			   const char *words)
{
	struct loaded l = load(kernel, size, ram, NULL, 0, "");

	if (l.ret != code || !strstr(l.err.text, words))
		fail_msg("got %d \"%s\", expected %d \"...%s...\"", l.ret, l.err.text, code, words);
	unload(&l);
}

static void linux_elf_is_entered_in_long_mode_with_a_zero_page(void **state)
{
	struct elf_kernel k = make_elf("Linux", 0x100);
	struct loaded l = load(&k, sizeof(k), RAM, "initrd", 6, "console=ttyS0");
	struct kvm_sregs sregs = { .apic_base = 0xfee00900 };
	const struct boot_params *params;
	const struct setup_data *seed;
	struct kvm_regs regs;

	(void)state;
	assert_int_equal(l.ret, 0);
	assert_int_equal(l.image.protocol, BOOT_LINUX64);
	assert_memory_equal(tt_memory_at(&l.mem, LOAD_GPA, TEXT_SIZE), k.code, TEXT_SIZE);
	tt_boot_registers(&l.image, &regs, &sregs);
	assert_int_equal(regs.rip, LOAD_GPA + 0x20);
	assert_int_equal(regs.rflags, 2);
	assert_int_equal(sregs.efer, 0x500);
	assert_int_equal(sregs.cs.l, 1);
	assert_int_equal(sregs.cs.selector, 0x10);
	assert_int_equal(sregs.tr.type, 11);
	assert_int_equal(sregs.apic_base, 0xfee00900);

	params = tt_memory_at(&l.mem, regs.rsi, sizeof(*params));
	assert_string_equal(tt_memory_at(&l.mem, params->hdr.cmd_line_ptr, 14), "console=ttyS0");
	assert_int_equal(params->hdr.ramdisk_size, 6);
	assert_int_equal(params->hdr.ramdisk_image, RAM - 4096);
	assert_memory_equal(tt_memory_at(&l.mem, params->hdr.ramdisk_image, 6), "initrd", 6);
	assert_int_equal(params->acpi_rsdp_addr, TT_ACPI_TABLES_GPA);
	assert_int_equal(params->e820_entries, 4);
	assert_int_equal(params->e820_table[0].addr, 0);
	assert_int_equal(params->e820_table[3].addr, 0x100000);
	assert_int_equal(params->e820_table[3].size, RAM - 0x100000);
	seed = tt_memory_at(&l.mem, params->hdr.setup_data, sizeof(*seed) + 32);
	assert_int_equal(seed->type, SETUP_RNG_SEED);
	assert_int_equal(seed->len, 32);
	assert_int_equal(seed->data[2], 3);
	unload(&l);
}

static uint64_t walk(const struct tt_memory *mem, uint64_t cr3, uint64_t address)
{
	uint64_t table = cr3, entry;
	unsigned int shift;

	for (shift = 39; shift >= 21; shift -= 9) {
		entry = *(uint64_t *)tt_memory_at(mem, table + (address >> shift & 511) * 8, 8);
		assert_int_equal(entry & 3, 3);
		table = entry & 0xffffffffff000ull;
	}
	assert_true(entry & 0x80);
	return (entry & ~0xfffull) + (address & 0x1fffff);
}

static void page_tables_map_four_gib_to_themselves(void **state)
{
	struct elf_kernel k = make_elf("Linux", 0x100);
	struct loaded l = load(&k, sizeof(k), RAM, NULL, 0, "");
	static const uint64_t addresses[] = { 0, 0x100000, 0x1234567, 0xc0000000, 0xfee00030,
					      0xffffffff };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		assert_int_equal(walk(&l.mem, BOOT_PAGE_TABLES_GPA, addresses[i]), addresses[i]);
	unload(&l);
}

static void pvh_elf_is_entered_in_protected_mode_with_start_info(void **state)
{
	struct elf_kernel k = make_elf("Xen", 18);
	struct loaded l = load(&k, sizeof(k), RAM, "initrd", 6, "hello");
	struct kvm_sregs sregs = { 0 };
	struct kvm_regs regs;
	const uint32_t *info;
	const uint64_t *wide;

	(void)state;
	assert_int_equal(l.ret, 0);
	assert_int_equal(l.image.protocol, BOOT_PVH);
	tt_boot_registers(&l.image, &regs, &sregs);
	assert_int_equal(regs.rip, LOAD_GPA + 0x40);
	assert_int_equal(sregs.efer, 0);
	assert_int_equal(sregs.cr0 & 0x80000001, 1);
	assert_int_equal(sregs.cs.db, 1);
	info = tt_memory_at(&l.mem, regs.rbx, 56);
	wide = (const uint64_t *)info;
	assert_int_equal(info[0], 0x336ec578);
	assert_int_equal(info[1], 1);
	assert_int_equal(info[3], 1);
	assert_string_equal(tt_memory_at(&l.mem, wide[3], 6), "hello");
	assert_int_equal(wide[4], TT_ACPI_TABLES_GPA);
	assert_int_equal(info[12], 4);
	wide = tt_memory_at(&l.mem, wide[2], 32);
	assert_memory_equal(tt_memory_at(&l.mem, wide[0], wide[1]), "initrd", 6);
	unload(&l);
}

static void elf_damage_is_refused_with_its_cause(void **state)
{
	struct elf_kernel k = make_elf("Xen", 18);

	(void)state;
	k = make_elf("GNU", 3);
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "without a kernel's note");
	k = make_elf("Xen", 17);
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "without a kernel's note");
	k = make_elf("Xen", 18);
	expect_refusal(&k, offsetof(struct elf_kernel, code) + TEXT_SIZE - 1, RAM, -ENOEXEC,
		       "truncated");
	expect_refusal(&k, 60, RAM, -ENOEXEC, "truncated");
	expect_refusal(&k, sizeof(k), MIB, -ENOMEM, "--mem 2M");
	expect_refusal(&k, sizeof(k), LOAD_GPA + 0x2000, -ENOMEM, "too small for this kernel");
	k.bss.p_memsz = UINT64_MAX - 5;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "outside of any possible memory");
	k.bss.p_memsz = 1ull << 40;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "outside of any possible memory");
	k = make_elf("Xen", 18);
	k.text.p_filesz = TEXT_SIZE + 1;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "more bytes in the file");
	k = make_elf("Xen", 18);
	k.text.p_offset = UINT64_MAX - 5;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "truncated");
	k = make_elf("Xen", 18);
	k.bss.p_paddr = LOAD_GPA + 8;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "overlap");
	k = make_elf("Xen", 18);
	k.bss.p_paddr = 0x8000;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "link the kernel at 1 MiB");
	k = make_elf("Xen", 18);
	*entry_of(&k) = 0x77777777;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "in none of its segments");
	k = make_elf("Xen", 18);
	k.ehdr.e_machine = EM_AARCH64;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "another CPU");
	k = make_elf("Xen", 18);
	k.ehdr.e_type = ET_REL;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "cannot be run");
	k = make_elf("Xen", 18);
	k.ehdr.e_phnum = 0;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "no segments");
	k = make_elf("Xen", 18);
	k.text.p_memsz = k.text.p_filesz = k.bss.p_memsz = 0;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "no segments");
	k = make_elf("Xen", 18);
	k.note.p_offset = UINT64_MAX - 3;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "without a kernel's note");
	k = make_elf("Xen", 18);
	k.nhdr.n_descsz = UINT32_MAX - 2;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "without a kernel's note");
}

static void bzimage_is_loaded_where_it_prefers(void **state)
{
	struct bz_kernel k = make_bzimage();
	struct loaded l = load(&k, sizeof(k), RAM, "initrd", 6, "quiet");
	const struct boot_params *params;

	(void)state;
	assert_int_equal(l.ret, 0);
	assert_int_equal(l.image.entry, 16 * MIB + 0x200);
	assert_memory_equal(tt_memory_at(&l.mem, 16 * MIB, BZ_PAYLOAD), k.payload, BZ_PAYLOAD);
	params = tt_memory_at(&l.mem, BOOT_ZERO_PAGE_GPA, sizeof(*params));
	assert_int_equal(params->hdr.code32_start, 16 * MIB);
	assert_int_equal(params->hdr.type_of_loader, 0xff);
	assert_int_equal(params->hdr.init_size, 8 * MIB);
	assert_int_equal(params->sentinel, 0);
	unload(&l);
}

static void initrd_respects_the_kernels_limit(void **state)
{
	struct bz_kernel k = make_bzimage();
	const struct boot_params *params;
	struct loaded l;

	(void)state;
	bz_header(&k)->initrd_addr_max = 0x2000fff;
	l = load(&k, sizeof(k), RAM, "initrd", 6, "");
	assert_int_equal(l.ret, 0);
	params = tt_memory_at(&l.mem, BOOT_ZERO_PAGE_GPA, sizeof(*params));
	assert_int_equal(params->hdr.ramdisk_image, 0x2000000);
	unload(&l);
}

static void initrd_that_does_not_fit_is_refused(void **state)
{
	struct bz_kernel k = make_bzimage();
	uint8_t *initrd = calloc(1, 50 * MIB);
	struct loaded l;

	(void)state;
	l = load(&k, sizeof(k), RAM, initrd, 50 * MIB, "");
	assert_int_equal(l.ret, -ENOMEM);
	assert_non_null(strstr(l.err.text, "--mem 64M is too small for the initrd of 50 MiB"));
	assert_non_null(strstr(l.err.text, "--mem 74M"));
	unload(&l);
	/* The advice is good. */
	l = load(&k, sizeof(k), 74 * MIB, initrd, 50 * MIB, "");
	assert_int_equal(l.ret, 0);
	unload(&l);
	bz_header(&k)->initrd_addr_max = 0x2000000;
	l = load(&k, sizeof(k), RAM, initrd, 50 * MIB, "");
	assert_int_equal(l.ret, -ENOMEM);
	assert_non_null(strstr(l.err.text, "use a smaller one"));
	unload(&l);
	free(initrd);
}

static void bzimage_damage_is_refused_with_its_cause(void **state)
{
	struct bz_kernel k = make_bzimage();
	struct setup_header *h = bz_header(&k);

	(void)state;
	expect_refusal(&k, sizeof(k) - 1, RAM, -ENOEXEC, "truncated");
	expect_refusal(&k, 0x210, RAM, -ENOEXEC, "truncated within its header");
	expect_refusal(&k, sizeof(k), 20 * MIB, -ENOMEM, "at least --mem 24M");
	h->boot_flag = 0;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "boot flag 0000");
	k = make_bzimage();
	h->version = 0x20b;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "boot protocol 2.11 is too old");
	k = make_bzimage();
	h->xloadflags = 0;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "32-bit kernel");
	k = make_bzimage();
	h->loadflags = 0;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "zImage");
	k = make_bzimage();
	h->syssize = 1;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "damaged");
	h->syssize = UINT32_MAX;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "truncated");
	k = make_bzimage();
	h->pref_address = UINT64_MAX;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "damaged");
	h->pref_address = 1ull << 40;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "outside of any possible memory");
	h->pref_address = 0;
	expect_refusal(&k, sizeof(k), RAM, -ENOEXEC, "1 MiB");
}

static void other_files_are_named(void **state)
{
	(void)state;
	expect_refusal("", 0, RAM, -ENOEXEC, "the file is empty");
	expect_refusal("hi", 2, RAM, -ENOEXEC, "only 2 bytes long");
	expect_refusal("#!/bin/sh\n", 10, RAM, -ENOEXEC, "magic 23 21 2f 62");
	expect_refusal("\x1f\x8b\x08\x00", 4, RAM, -ENOEXEC, "a gzip file");
	expect_refusal("QFI\xfb....", 8, RAM, -ENOEXEC, "qcow2");
	expect_refusal("070701....", 10, RAM, -ENOEXEC, "--initrd");
}

static void long_command_line_is_refused(void **state)
{
	struct bz_kernel k = make_bzimage();
	char line[2049];
	struct loaded l;

	(void)state;
	memset(line, 'x', sizeof(line));
	line[2048] = 0;
	l = load(&k, sizeof(k), RAM, NULL, 0, line);
	assert_int_equal(l.ret, -E2BIG);
	assert_non_null(strstr(l.err.text, "2048 bytes, k takes 2047"));
	unload(&l);
	line[2047] = 0;
	l = load(&k, sizeof(k), RAM, NULL, 0, line);
	assert_int_equal(l.ret, 0);
	unload(&l);
}

static void linux_on_amd_is_told_the_tsc_frequency(void **state)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + sizeof(cpuid->entries[0]));
	struct elf_kernel k = make_elf("Linux", 0x100);
	struct tt_machine_config config = {
		.kernel_name = "k",
		.kernel = { &k, sizeof(k) },
		.command_line = "quiet",
		.tsc_hz = 2596100000,
		.cpuid = cpuid,
	};
	struct tt_boot_image image;
	struct tt_memory mem;
	const char *line;

	(void)state;
	assert_int_equal(tt_memory_create(&mem, RAM, NULL), 0);
	line = tt_memory_at(&mem, BOOT_COMMAND_LINE_GPA, 256);
	cpuid->nent = 1;
	memcpy(&cpuid->entries[0].ebx, "Auth", 4);
	assert_int_equal(tt_boot_load_memory(&config, &mem, &image, NULL), 0);
	assert_string_equal(line, "quiet tsc_early_khz=2596100");
	config.command_line = "tsc_early_khz=5";
	assert_int_equal(tt_boot_load_memory(&config, &mem, &image, NULL), 0);
	assert_string_equal(line, "tsc_early_khz=5");
	/* Intel has CPUID leaf 0x15. */
	memcpy(&cpuid->entries[0].ebx, "Genu", 4);
	memcpy(&cpuid->entries[0].edx, "ineI", 4);
	memcpy(&cpuid->entries[0].ecx, "ntel", 4);
	config.command_line = "quiet";
	assert_int_equal(tt_boot_load_memory(&config, &mem, &image, NULL), 0);
	assert_string_equal(line, "quiet");
	tt_memory_destroy(&mem);
	free(cpuid);
}

/* xorshift64*, so that a failure repeats */
static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1dull;
}

/*
 * Random damage within the first `reach` bytes, sometimes a cut. All that is asked: no crash (the
 * file is an exact allocation, so that ASan sees an overrun), and an error has words. Small memory
 * keeps it quick.
 */
static void mutate(const void *kernel, size_t size, size_t reach, int rounds)
{
	static const uint64_t edges[] = { 0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, 0xffffffff,
					  0x8000000000000000ull, UINT64_MAX };
	struct tt_machine_config config = { .kernel_name = "k", .command_line = "" };
	struct tt_memory mem;
	uint64_t seed = 88172645463325252ull;
	int i;

	assert_int_equal(tt_memory_create(&mem, RAM, NULL), 0);
	for (i = 0; i < rounds; i++) {
		size_t len = next_random(&seed) % 4 ? size : next_random(&seed) % (reach + 1);
		uint8_t *file = malloc(len ? len : 1);
		int edits = 1 + next_random(&seed) % 4;
		struct tt_boot_image image;
		struct tt_error err = { 0 };
		int ret;

		memcpy(file, kernel, len);
		while (edits-- && len) {
			uint64_t value = next_random(&seed) % 2 ? next_random(&seed) :
				edges[next_random(&seed) % (sizeof(edges) / sizeof(edges[0]))];
			size_t width = 1u << next_random(&seed) % 4;
			size_t at = next_random(&seed) % (len < reach ? len : reach);

			if (width > len - at)
				width = len - at;
			memcpy(file + at, &value, width);
		}
		config.kernel = (struct tt_blob){ file, len };
		ret = tt_boot_load_memory(&config, &mem, &image, &err);
		if (ret)
			assert_true(ret < 0 && strlen(err.text) > 10);
		free(file);
	}
	tt_memory_destroy(&mem);
}

static void random_damage_never_crashes(void **state)
{
	struct elf_kernel linux_elf = make_elf("Linux", 0x100), pvh = make_elf("Xen", 18);
	struct bz_kernel bz = make_bzimage();

	(void)state;
	mutate(&linux_elf, sizeof(linux_elf), offsetof(struct elf_kernel, code), 20000);
	mutate(&pvh, sizeof(pvh), offsetof(struct elf_kernel, code), 20000);
	mutate(&bz, sizeof(bz), sizeof(bz.sectors), 20000);
	mutate((uint8_t *)&bz + 0x1f1, sizeof(bz) - 0x1f1, 0x80, 1000);
}

static void random_damage_to_stock_kernels_never_crashes(void **state)
{
	const char *name = getenv("TTVM_TEST_KERNEL"), *home = getenv("HOME");
	char pattern[4096];
	glob_t found;
	size_t i;

	(void)state;
	snprintf(pattern, sizeof(pattern), "%s/.cache/ttvm/kernel-6.*/vmlinu[xz]",
		 home ? home : "");
	if (glob(name ? name : pattern, 0, NULL, &found) != 0)
		skip();
	for (i = 0; i < found.gl_pathc; i++) {
		FILE *f = fopen(found.gl_pathv[i], "r");
		size_t room = 4 * MIB, size;
		uint8_t *data = malloc(room);
		struct tt_error err = { 0 };
		int ret;

		assert_non_null(f);
		size = fread(data, 1, room, f);
		/* The whole file is longer: this much must be called truncated, but understood. */
		ret = tt_boot_probe("k", (struct tt_blob){ data, size }, &err);
		if (ret != -ENOEXEC || !strstr(err.text, "truncated"))
			fail_msg("%s: %d %s", found.gl_pathv[i], ret, err.text);
		mutate(data, 0x4000, 0x1000, 3000);
		free(data);
		fclose(f);
	}
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linux_elf_is_entered_in_long_mode_with_a_zero_page),
		cmocka_unit_test(page_tables_map_four_gib_to_themselves),
		cmocka_unit_test(pvh_elf_is_entered_in_protected_mode_with_start_info),
		cmocka_unit_test(elf_damage_is_refused_with_its_cause),
		cmocka_unit_test(bzimage_is_loaded_where_it_prefers),
		cmocka_unit_test(initrd_respects_the_kernels_limit),
		cmocka_unit_test(initrd_that_does_not_fit_is_refused),
		cmocka_unit_test(bzimage_damage_is_refused_with_its_cause),
		cmocka_unit_test(other_files_are_named),
		cmocka_unit_test(long_command_line_is_refused),
		cmocka_unit_test(linux_on_amd_is_told_the_tsc_frequency),
		cmocka_unit_test(random_damage_never_crashes),
		cmocka_unit_test(random_damage_to_stock_kernels_never_crashes),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
