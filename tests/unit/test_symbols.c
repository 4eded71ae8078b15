// SPDX-License-Identifier: GPL-2.0
/*
 * test_symbols.c - names of functions from lists and from an ELF file: this program.
 */
#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../tools/symbol_file.h"

static const char kernel_list[] = "0000000000000000 A per_cpu\n"
				  "ffffffff81000000 T _stext\n"
				  "ffffffff81000000 t alias\n"
				  "ffffffff81000040 t second\r\n"
				  "ffffffff81002000 D data\n"
				  "ffffffffc0001000 t in_module\t[module]\n"
				  "0000000000401000 T user_function";

static void write_list(char path[64], const char *text)
{
	FILE *file;

	snprintf(path, 64, "/tmp/test_symbols.%d", getpid());
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static void assert_name(const struct symbols *s, uint64_t address, const char *name)
{
	const struct symbol *found = symbols_find(s, address);

	if (!name) {
		assert_null(found);
		return;
	}
	assert_non_null(found);
	assert_string_equal(found->name, name);
}

static void test_list(void **state)
{
	struct symbols s = { 0 };
	struct tt_error err;
	char path[64];

	(void)state;
	assert_null(symbols_find(&s, 5));
	write_list(path, kernel_list);
	assert_int_equal(symbols_load(&s, path, NULL, &err), 0);
	symbols_finish(&s);
	assert_name(&s, 0xffffffff80ffffff, NULL);
	assert_name(&s, 0xffffffff81000000, "_stext");
	assert_name(&s, 0xffffffff8100003f, "_stext");
	assert_name(&s, 0xffffffff81000040, "second");
	assert_name(&s, 0xffffffff8101003f, "second");
	assert_name(&s, 0xffffffff81010040, NULL); /* too far */
	assert_name(&s, 0xffffffffc0001001, "in_module");
	assert_name(&s, 0x401001, "user_function");
	assert_name(&s, 0x1000, NULL);
	symbols_free(&s);
	write_list(path, "ffffffff81000000 T _stext\nno line\n");
	memset(&s, 0, sizeof(s));
	assert_int_equal(symbols_load(&s, path, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "line 2"));
	symbols_free(&s);
	unlink(path);
}

static const char *section_of(Elf *elf, Elf64_Half index)
{
	Elf64_Shdr *header = elf64_getshdr(elf_getscn(elf, index));

	assert_non_null(header);
	assert_int_equal(header->sh_type, SHT_NOBITS);
	return header->sh_flags & SHF_EXECINSTR ? "code" : "data";
}

/* What gdb will see: each symbol in a section of its kind, which covers it and does not touch another one. */
static void test_file(void **state)
{
	static const struct {
		const char *name, *section;
		uint64_t address;
	} expected[] = {
		{ "user_function", "code", 0x401000 },
		{ "_stext", "code", 0xffffffff82a00000 },
		{ "alias", "code", 0xffffffff82a00000 },
		{ "second", "code", 0xffffffff82a00040 },
		{ "data", "data", 0xffffffff82a02000 },
		{ "in_module", "code", 0xffffffffc1a01000 },
	};
	static const char text[] = "SYMBOL(_stext)=ffffffff82a00000\n";
	const struct vmcoreinfo info = { text, sizeof(text) - 1 };
	struct symbols s = { .with_data = true };
	Elf64_Shdr *header, *before;
	struct tt_error err;
	char path[64], file[80];
	Elf64_Sym *table = NULL;
	Elf_Scn *section = NULL;
	size_t i, count = 0;
	Elf *elf;
	int fd;

	(void)state;
	write_list(path, kernel_list);
	snprintf(file, sizeof(file), "%s.elf", path);
	assert_int_equal(symbols_load(&s, path, &info, &err), 0);
	assert_true(s.has_kernel && !s.is_elf && s.shift == 0x1a00000);
	assert_int_equal(symbol_file_write(&s, file, &err), 0);
	symbols_free(&s);
	elf_version(EV_CURRENT);
	fd = open(file, O_RDONLY);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	assert_non_null(elf);
	while ((section = elf_nextscn(elf, section)) && !table) {
		header = elf64_getshdr(section);
		if (header->sh_type != SHT_SYMTAB)
			continue;
		table = elf_getdata(section, NULL)->d_buf;
		count = header->sh_size / sizeof(*table);
		for (i = 1; i < count && i <= 6; i++)
			assert_string_equal(elf_strptr(elf, header->sh_link, table[i].st_name), expected[i - 1].name);
	}
	assert_int_equal(count, 7);
	for (i = 1; i < count; i++) {
		assert_int_equal(table[i].st_value, expected[i - 1].address);
		assert_string_equal(section_of(elf, table[i].st_shndx), expected[i - 1].section);
		header = elf64_getshdr(elf_getscn(elf, table[i].st_shndx));
		assert_true(header->sh_addr <= table[i].st_value);
		assert_true(table[i].st_value + table[i].st_size <= header->sh_addr + header->sh_size);
		before = elf64_getshdr(elf_getscn(elf, table[i].st_shndx - 1));
		assert_true(before->sh_addr + before->sh_size <= header->sh_addr);
	}
	assert_int_equal(table[4].st_size, 0x1fc0); /* second: up to data */
	elf_end(elf);
	close(fd);
	unlink(file);
	assert_int_equal(symbol_file_write(&s, "/nonexistent/symbols", &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/symbols"));
	unlink(path);
}

/* The kernel has moved itself by 0x1a00000; a library stands at 0x7f0000000000. */
static void test_moved(void **state)
{
	static const char text[] = "OSRELEASE=6\nSYMBOL(_stext)=ffffffff82a00000\nKERNELOFFSET=1a00000\n";
	const struct vmcoreinfo info = { text, sizeof(text) - 1 };
	struct symbols s = { 0 };
	char path[64], with_base[96];
	struct tt_error err;

	(void)state;
	write_list(path, kernel_list);
	snprintf(with_base, sizeof(with_base), "%s@7f0000000000", path);
	assert_int_equal(symbols_load(&s, with_base, &info, &err), 0);
	symbols_finish(&s);
	assert_name(&s, 0xffffffff82a00041, "second");
	assert_name(&s, 0xffffffff81000041, NULL);
	assert_name(&s, 0x7f0000401000, "user_function");
	symbols_free(&s);
	/* A list of the guest's own is right already. */
	memset(&s, 0, sizeof(s));
	write_list(path, "ffffffff82a00000 T _stext\nffffffff82a00040 T second\n");
	assert_int_equal(symbols_load(&s, path, &info, &err), 0);
	symbols_finish(&s);
	assert_name(&s, 0xffffffff82a00041, "second");
	symbols_free(&s);
	unlink(path);
}

static void test_elf(void **state)
{
	/* Where this program's functions are linked to: they move together. */
	struct symbols s = { 0 };
	const struct symbol *found = NULL;
	struct tt_error err;
	size_t i;

	(void)state;
	if (symbols_load(&s, "/proc/self/exe", NULL, &err))
		fail_msg("%s", err.text);
	symbols_finish(&s);
	for (i = 0; i < s.count; i++)
		if (!strcmp(s.list[i].name, "symbols_find"))
			found = &s.list[i];
	assert_non_null(found);
	assert_true(found->size > 16);
	assert_name(&s, found->address + found->size - 1, "symbols_find");
	symbols_free(&s);
	memset(&s, 0, sizeof(s));
	assert_int_equal(symbols_load(&s, "/no/such/file", NULL, &err), -ENOENT);
	symbols_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_elf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
