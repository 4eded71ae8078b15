// SPDX-License-Identifier: GPL-2.0
/*
 * symbol_file.c - see symbol_file.h.
 *
 * gdb takes a symbol for code or data by the flags of its section, and finds the symbol of an address only where a section
 * is. A list knows no sections: each run of neighbours of one kind becomes one, without content, as in files that have been
 * stripped to their debug information.
 */
#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbol_file.h"
#include "ttvm.h"

#define MAX_GAP 0x100000 /* between neighbours; behind it something else begins */
#define LAST_SIZE 0x10000 /* of the last symbol of a run, unless another one begins before */

/* The names of the sections, and where they begin. */
static const char section_names[] = "\0.text\0.data\0.symtab\0.strtab";
enum { NAME_TEXT = 1, NAME_DATA = 7, NAME_SYMTAB = 13, NAME_STRTAB = 21 };

static int compare(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->address != y->address ? (x->address < y->address ? -1 : 1) : strcmp(x->name, y->name);
}

/* Behind the last symbol of the run that begins at `first`. */
static size_t run_end(const struct symbols *s, size_t first)
{
	size_t i = first + 1;

	while (i < s->count && s->list[i].data == s->list[first].data &&
	       s->list[i].address - s->list[i - 1].address <= MAX_GAP)
		i++;
	return i;
}

static Elf_Scn *add_section(Elf *elf, Elf64_Word name, Elf64_Word type, Elf_Type content, void *data, size_t size)
{
	Elf_Scn *section = elf_newscn(elf);
	Elf_Data *d = section ? elf_newdata(section) : NULL;
	Elf64_Shdr *header = section ? elf64_getshdr(section) : NULL;

	if (!d || !header)
		return NULL;
	header->sh_name = name;
	header->sh_type = type;
	d->d_type = content;
	d->d_buf = data;
	d->d_size = size;
	d->d_align = content == ELF_T_SYM ? 8 : 1;
	d->d_version = EV_CURRENT;
	return section;
}

/* Symbols first..end - 1, and their section. */
static bool add_run(Elf *elf, const struct symbols *s, size_t first, size_t end, Elf64_Sym *table)
{
	uint64_t begin = s->list[first].address, limit = s->list[end - 1].address + LAST_SIZE, next;
	bool data = s->list[first].data;
	Elf_Scn *section;
	Elf64_Shdr *header;
	size_t i, later;

	if (end < s->count && limit > s->list[end].address)
		limit = s->list[end].address;
	section = add_section(elf, data ? NAME_DATA : NAME_TEXT, SHT_NOBITS, ELF_T_BYTE, NULL, limit - begin);
	if (!section)
		return false;
	header = elf64_getshdr(section);
	header->sh_flags = SHF_ALLOC | (data ? SHF_WRITE : SHF_EXECINSTR);
	header->sh_addr = begin;
	for (i = end; i-- > first;) {
		for (later = i + 1; later < end && s->list[later].address == s->list[i].address; later++)
			;
		next = later < end ? s->list[later].address : limit;
		table[i].st_info = ELF64_ST_INFO(STB_GLOBAL, data ? STT_OBJECT : STT_FUNC);
		table[i].st_shndx = elf_ndxscn(section);
		table[i].st_value = s->list[i].address;
		table[i].st_size = next - s->list[i].address;
	}
	return true;
}

static char *make_names(const struct symbols *s, Elf64_Sym *table, size_t *size)
{
	char *names, *at;
	size_t i;

	for (*size = 1, i = 0; i < s->count; i++)
		*size += strlen(s->list[i].name) + 1;
	names = calloc(1, *size);
	if (!names)
		return NULL;
	at = names + 1;
	for (i = 0; i < s->count; i++) {
		table[i].st_name = at - names;
		at = stpcpy(at, s->list[i].name) + 1;
	}
	return names;
}

/* table[0] is the null symbol. */
static bool fill(Elf *elf, const struct symbols *s, Elf64_Sym *table, char *names, size_t names_size)
{
	Elf64_Ehdr *header = elf64_newehdr(elf);
	Elf_Scn *symtab, *strtab;
	size_t first, end;

	if (!header)
		return false;
	header->e_ident[EI_DATA] = ELFDATA2LSB;
	header->e_type = ET_EXEC;
	header->e_machine = EM_X86_64;
	header->e_version = EV_CURRENT;
	for (first = 0; first < s->count; first = end) {
		end = run_end(s, first);
		if (!add_run(elf, s, first, end, table + 1))
			return false;
	}
	symtab = add_section(elf, NAME_SYMTAB, SHT_SYMTAB, ELF_T_SYM, table, (s->count + 1) * sizeof(*table));
	strtab = add_section(elf, NAME_STRTAB, SHT_STRTAB, ELF_T_BYTE, names, names_size);
	if (!symtab || !strtab || elf_ndxscn(strtab) >= SHN_LORESERVE - 1)
		return false;
	elf64_getshdr(symtab)->sh_link = elf_ndxscn(strtab);
	elf64_getshdr(symtab)->sh_info = 1; /* all behind the null symbol are global */
	elf64_getshdr(symtab)->sh_entsize = sizeof(*table);
	strtab = add_section(elf, 0, SHT_STRTAB, ELF_T_BYTE, (char *)section_names, sizeof(section_names));
	if (!strtab)
		return false;
	header->e_shstrndx = elf_ndxscn(strtab);
	return elf_update(elf, ELF_C_WRITE) >= 0;
}

int symbol_file_write(struct symbols *s, const char *path, struct tt_error *err)
{
	Elf64_Sym *table = calloc(s->count + 1, sizeof(*table));
	char *names = NULL;
	size_t size;
	Elf *elf = NULL;
	int fd = -1, ret = -ENOMEM;

	if (s->count)
		qsort(s->list, s->count, sizeof(*s->list), compare);
	names = table ? make_names(s, table + 1, &size) : NULL;
	if (!names) {
		tt_fail(err, ret, "out of memory");
		goto out;
	}
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		goto out;
	}
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_WRITE, NULL);
	ret = elf && fill(elf, s, table, names, size) ? 0 : tt_fail(err, -EIO, "%s: %s", path, elf_errmsg(-1));
	if (elf)
		elf_end(elf);
	close(fd);
	if (ret)
		unlink(path);
out:
	free(names);
	free(table);
	return ret;
}
