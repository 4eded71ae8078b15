// SPDX-License-Identifier: GPL-2.0
/*
 * test_vmcore.c - a core of a machine, read back by libelf; finding VMCOREINFO.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake-machine.h"
#include "../../tools/vmcore.h"

#define PRESENT 1ull
#define LARGE (1ull << 7)
#define NOTE_AT 0x20000

static const char info_text[] = "OSRELEASE=6.1-test\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff80100000\n"
				"OFFSET(uts_namespace.name)=8\nNUMBER(phys_base)=-4096\nKERNELOFFSET=1a00000\n";

/* A note as the kernel keeps it; its release stands where it says that it does. */
static void put_info(struct fake_machine *f, uint64_t at, const char *text)
{
	uint8_t *page = f->m.memory.hva + at;
	const Elf64_Nhdr head = { .n_namesz = 11, .n_descsz = strlen(text) };

	memcpy(page, &head, sizeof(head));
	memcpy(page + sizeof(head), "VMCOREINFO", 11);
	memcpy(page + sizeof(head) + 12, text, strlen(text));
	strcpy((char *)f->m.memory.hva + 0x100000 - 4096 + 8 + 130, "6.1-test");
}

static void test_find_info(void **state)
{
	char value[VMCOREINFO_VALUE_MAX];
	struct vmcoreinfo info;
	struct fake_machine f;
	uint64_t number;

	(void)state;
	fake_machine_create_bare(&f, 1);
	assert_false(vmcoreinfo_find(&f.m.memory, &info));
	/* A copy that an earlier kernel has left does not count. */
	put_info(&f, NOTE_AT - 0x1000, "OSRELEASE=5.9-test\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff80100000\n"
		 "OFFSET(uts_namespace.name)=8\nNUMBER(phys_base)=-4096\n");
	assert_false(vmcoreinfo_find(&f.m.memory, &info));
	put_info(&f, NOTE_AT, info_text);
	assert_true(vmcoreinfo_find(&f.m.memory, &info));
	assert_int_equal(info.size, strlen(info_text));
	assert_memory_equal(info.text, info_text, info.size);
	assert_true(vmcoreinfo_get(&info, "OSRELEASE", value));
	assert_string_equal(value, "6.1-test");
	assert_true(vmcoreinfo_get_number(&info, "KERNELOFFSET", 16, &number));
	assert_int_equal(number, 0x1a00000);
	assert_true(vmcoreinfo_get_number(&info, "NUMBER(phys_base)", 10, &number));
	assert_int_equal(number, -4096);
	assert_false(vmcoreinfo_get(&info, "KERNEL", value));
	assert_false(vmcoreinfo_get_number(&info, "OSRELEASE", 10, &number));
	/* Another release where the kernel's own should be; no text. */
	f.m.memory.hva[0x100000 - 4096 + 8 + 130] = '7';
	assert_false(vmcoreinfo_find(&f.m.memory, &info));
	f.m.memory.hva[0x100000 - 4096 + 8 + 130] = '6';
	f.m.memory.hva[NOTE_AT + 60] = 1;
	assert_false(vmcoreinfo_find(&f.m.memory, &info));
	fake_machine_destroy(&f);
}

/* ------------------------------------------------------------------ the file */

struct core_file {
	char path[64];
	int fd;
	Elf *elf;
	size_t segments;
	struct vmcore_stats stats;
};

static void write_core(struct core_file *file, struct fake_machine *f, const struct tt_registers *r,
		       const struct vmcoreinfo *info)
{
	const struct vmcore core = { .memory = &f->m.memory, .registers = r, .num_vcpus = 1, .info = info };
	struct tt_error err = { 0 };

	snprintf(file->path, sizeof(file->path), "/tmp/test_vmcore.%d", getpid());
	if (vmcore_write(&core, file->path, &file->stats, &err))
		fail_msg("%s", err.text);
	file->fd = open(file->path, O_RDONLY);
	elf_version(EV_CURRENT);
	file->elf = elf_begin(file->fd, ELF_C_READ, NULL);
	assert_non_null(file->elf);
	assert_int_equal(elf_getphdrnum(file->elf, &file->segments), 0);
}

static void close_core(struct core_file *file)
{
	elf_end(file->elf);
	close(file->fd);
	unlink(file->path);
}

static void assert_segment(struct core_file *file, size_t i, uint64_t address, uint64_t physical, uint64_t size)
{
	GElf_Phdr phdr;

	assert_non_null(gelf_getphdr(file->elf, i, &phdr));
	assert_int_equal(phdr.p_type, PT_LOAD);
	assert_int_equal(phdr.p_vaddr, address);
	assert_int_equal(phdr.p_paddr, physical);
	assert_int_equal(phdr.p_memsz, size);
	assert_int_equal(phdr.p_filesz, size);
	assert_int_equal(phdr.p_offset % 4096, 0);
	assert_int_equal(phdr.p_align, 0); /* else crash takes it for a netdump */
}

/* The n-th note of that type and owner (from 0): its content. */
static const void *get_note(struct core_file *file, const char *owner, uint32_t type, size_t *size)
{
	size_t at = 0, name, desc;
	GElf_Phdr phdr;
	GElf_Nhdr note;
	Elf_Data *data;

	assert_non_null(gelf_getphdr(file->elf, 0, &phdr));
	assert_int_equal(phdr.p_type, PT_NOTE);
	data = elf_getdata_rawchunk(file->elf, phdr.p_offset, phdr.p_filesz, ELF_T_NHDR);
	while (at < data->d_size && (at = gelf_getnote(data, at, &note, &name, &desc)) > 0) {
		*size = note.n_descsz;
		if (note.n_type == type && !strcmp((char *)data->d_buf + name, owner))
			return (char *)data->d_buf + desc;
	}
	return NULL;
}

static void test_without_paging(void **state)
{
	static struct tt_registers r = { .regs = { .rax = 1, .r15 = 15, .rip = 0x1234, .rflags = 1 << 16 | 2 },
					 .sregs = { .cs.selector = 8, .cr3 = 0x77, .fs.base = 0xf5, .gs.base = 0xf6 } };
	struct user_regs_struct regs;
	struct elf_prstatus status;
	struct core_file file;
	struct vmcoreinfo info;
	struct fake_machine f;
	GElf_Phdr phdr;
	const void *note;
	struct stat st;
	char page[4096];
	uint64_t word;
	size_t size;

	(void)state;
	fake_machine_create_bare(&f, 1);
	put_info(&f, NOTE_AT, info_text);
	memset(f.m.memory.hva + 0x30000, 'x', 4096);
	assert_true(vmcoreinfo_find(&f.m.memory, &info));
	r.xsave.region[0] = 0x37f;
	write_core(&file, &f, &r, &info);
	assert_int_equal(file.segments, 2);
	assert_segment(&file, 1, 0, 0, FAKE_RAM_SIZE);
	assert_non_null(gelf_getphdr(file.elf, 1, &phdr));
	assert_int_equal(pread(file.fd, page, sizeof(page), (off_t)(phdr.p_offset + 0x30000)), sizeof(page));
	assert_memory_equal(page, f.m.memory.hva + 0x30000, sizeof(page));
	/* Three pages of memory; the rest are holes. */
	assert_int_equal(file.stats.stored, 3 * 4096);
	assert_int_equal(fstat(file.fd, &st), 0);
	assert_int_equal(st.st_size, file.stats.bytes);
	assert_int_equal(st.st_size, phdr.p_offset + FAKE_RAM_SIZE);
	assert_int_equal(st.st_mode & 0777, 0600);

	note = get_note(&file, "CORE", NT_PRSTATUS, &size);
	assert_non_null(note);
	assert_int_equal(size, sizeof(status));
	memcpy(&status, note, sizeof(status));
	memcpy(&regs, &status.pr_reg, sizeof(regs));
	assert_int_equal(status.pr_pid, 1);
	assert_int_equal(regs.rax, 1);
	assert_int_equal(regs.r15, 15);
	assert_int_equal(regs.rip, 0x1234);
	assert_int_equal(regs.eflags, 2); /* RF is the debugger's */
	assert_int_equal(regs.cs, 8);
	assert_int_equal(regs.fs_base, 0xf5);
	assert_int_equal(regs.gs_base, 0xf6);
	note = get_note(&file, "CORE", NT_FPREGSET, &size);
	assert_non_null(note);
	assert_int_equal(size, 512);
	assert_int_equal(*(const uint16_t *)note, 0x37f);
	note = get_note(&file, "QEMU", 0, &size);
	assert_non_null(note);
	assert_int_equal(size, 440);
	memcpy(&word, (const char *)note + 392 + 3 * 8, sizeof(word));
	assert_int_equal(word, 0x77);
	note = get_note(&file, "VMCOREINFO", 0, &size);
	assert_non_null(note);
	assert_int_equal(size, strlen(info_text));
	assert_memory_equal(note, info_text, size);
	close_core(&file);
	fake_machine_destroy(&f);
}

static void test_with_paging(void **state)
{
	static const struct tt_registers r = { .sregs = { .cr0 = 1ull << 31 | 1, .cr3 = 0x1000, .cr4 = 1 << 5,
							  .efer = 1 << 10 } };
	struct core_file file;
	struct fake_machine f;
	uint64_t *table;

	(void)state;
	fake_machine_create_bare(&f, 1);
	table = (uint64_t *)f.m.memory.hva;
	table[0x1000 / 8] = 0x2000 | PRESENT;
	table[0x2000 / 8] = 0x3000 | PRESENT;
	table[0x3000 / 8 + 1] = 0x4000 | PRESENT;
	table[0x4000 / 8 + 1] = 0x6000 | PRESENT;
	write_core(&file, &f, &r, NULL);
	assert_int_equal(file.segments, 3);
	assert_segment(&file, 1, 0x8000000000000000, 0, FAKE_RAM_SIZE);
	assert_segment(&file, 2, 0x201000, 0x6000, 0x1000);
	close_core(&file);
	/* With a direct map. */
	table[0x1000 / 8 + 256] = 0x5000 | PRESENT;
	table[0x5000 / 8 + 1] = PRESENT | LARGE;
	write_core(&file, &f, &r, NULL);
	assert_int_equal(file.segments, 3);
	assert_segment(&file, 1, 0xffff800040000000, 0, FAKE_RAM_SIZE);
	assert_segment(&file, 2, 0x201000, 0x6000, 0x1000);
	assert_int_equal(file.stats.mappings, 1);
	close_core(&file);
	fake_machine_destroy(&f);
}

/* More segments than an ELF header can count. */
static void test_many_segments(void **state)
{
	static const struct tt_registers r = { .sregs = { .cr0 = 1ull << 31 | 1, .cr3 = 0x1000, .cr4 = 1 << 5,
							  .efer = 1 << 10 } };
	const size_t tables = 130;
	struct core_file file;
	struct fake_machine f;
	uint64_t *table;
	size_t i;

	(void)state;
	fake_machine_create_bare(&f, 1);
	table = (uint64_t *)f.m.memory.hva;
	table[0x1000 / 8] = 0x2000 | PRESENT;
	table[0x2000 / 8] = 0x3000 | PRESENT;
	for (i = 0; i < tables; i++)
		table[0x3000 / 8 + i] = (0x4000 + i * 4096) | PRESENT;
	for (i = 0; i < tables * 512; i++)
		table[0x4000 / 8 + i] = (i % 2 ? 0x1fe000 : 0x1fc000) | PRESENT;
	write_core(&file, &f, &r, NULL);
	assert_int_equal(file.segments, 2 + tables * 512);
	assert_segment(&file, 1, 0x8000000000000000, 0, FAKE_RAM_SIZE);
	assert_segment(&file, 1 + tables * 512, (tables * 512 - 1) * 4096, 0x1fe000, 0x1000);
	close_core(&file);
	fake_machine_destroy(&f);
}

static bool give_up(void *ctx, uint64_t done)
{
	(void)done;
	++*(int *)ctx;
	return true;
}

static void test_given_up(void **state)
{
	static const struct tt_registers r;
	int called = 0;
	struct vmcore_stats stats;
	struct tt_error err = { 0 };
	struct fake_machine f;
	char path[64];

	(void)state;
	fake_machine_create_bare(&f, 1);
	f.m.memory.hva[0] = 1;
	snprintf(path, sizeof(path), "/tmp/test_vmcore.%d", getpid());
	assert_int_equal(vmcore_write(&(struct vmcore){ .memory = &f.m.memory, .registers = &r, .num_vcpus = 1,
							.progress = give_up, .ctx = &called }, path, &stats, &err), -EINTR);
	assert_int_equal(called, 1);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(vmcore_write(&(struct vmcore){ .memory = &f.m.memory, .registers = &r, .num_vcpus = 1 },
				      "/no/such/folder", &stats, &err), -ENOENT);
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_info),
		cmocka_unit_test(test_without_paging),
		cmocka_unit_test(test_with_paging),
		cmocka_unit_test(test_many_segments),
		cmocka_unit_test(test_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
