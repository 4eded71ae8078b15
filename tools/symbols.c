// SPDX-License-Identifier: GPL-2.0
/*
 * symbols.c - see symbols.h.
 *
 * Where the kernel is: its VMCOREINFO has SYMBOL(_stext), the address at which its text begins. A file that has _stext,
 * too, is moved by the difference, which is 0 for the guest's own /proc/kallsyms. An ELF file without it is moved by
 * KERNELOFFSET.
 */
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "symbols.h"
#include "ttvm.h"

#define KERNEL_MAP 0xffffffff80000000ull
#define KERNEL_HALF 0xffff800000000000ull /* below are offsets of per-CPU variables */
/* A function of unknown size ends at the next one, or so far on: what is there is something else. */
#define MAX_GUESS 0x10000

static int add(struct symbols *s, uint64_t address, uint64_t size, const char *name, unsigned int rank)
{
	struct symbol *list;

	if (s->count == s->room) {
		list = realloc(s->list, (2 * s->room + 1024) * sizeof(*list));
		if (!list)
			return -ENOMEM;
		s->list = list;
		s->room = 2 * s->room + 1024;
	}
	s->list[s->count++] = (struct symbol){ address, size, name, rank, false };
	return 0;
}

/* Room for names, which lives as long as the symbols. NULL: no memory. */
static char *add_text(struct symbols *s, const void *data, size_t size)
{
	char **texts = realloc(s->texts, (s->num_texts + 1) * sizeof(*texts));
	char *text = malloc(size + 1);

	if (texts)
		s->texts = texts;
	if (!texts || !text) {
		free(text);
		return NULL;
	}
	memcpy(text, data, size);
	text[size] = '\0';
	s->texts[s->num_texts++] = text;
	return text;
}

/* ------------------------------------------------------------------ lists */

/* "ffffffff81000000 T _stext", perhaps with a module behind it. */
static int load_list(struct symbols *s, const char *path, struct tt_blob blob, uint64_t *stext, struct tt_error *err)
{
	char *line = add_text(s, blob.data, blob.size), *limit = line ? line + blob.size : NULL, *next, *end, type;
	uint64_t address;
	int ret = line ? 0 : -ENOMEM;
	size_t number = 0;

	for (; !ret && line < limit; line = next) {
		next = line + strcspn(line, "\n") + 1;
		next[-1] = '\0'; /* there is one behind the text, too */
		number++;
		errno = 0;
		address = strtoull(line, &end, 16);
		if (errno || end == line || *end != ' ' || !end[1] || end[2] != ' ' || !end[3])
			return tt_fail(err, -EINVAL, "%s: neither an ELF file nor a list of symbols (line %zu is not "
				       "\"ADDRESS TYPE NAME\")", path, number);
		type = end[1];
		end += 3;
		end[strcspn(end, "\t\r ")] = '\0';
		if (!strcmp(end, "_stext"))
			*stext = address;
		if (strchr("tTwW", type))
			ret = add(s, address, 0, end, type == 'T' ? 0 : 1);
		else if (s->with_data && address >= KERNEL_HALF && strchr("bBdDgGrRsSvV", type)) {
			ret = add(s, address, 0, end, 0);
			s->list[s->count - 1].data = !ret;
		}
	}
	return ret ? tt_fail(err, ret, "out of memory") : 0;
}

/* ------------------------------------------------------------------ ELF */

static bool is_code(Elf *elf, const GElf_Sym *symbol)
{
	GElf_Shdr shdr;

	return (GELF_ST_TYPE(symbol->st_info) == STT_FUNC || GELF_ST_TYPE(symbol->st_info) == STT_NOTYPE) &&
	       symbol->st_shndx != SHN_UNDEF && symbol->st_shndx < SHN_LORESERVE &&
	       gelf_getshdr(elf_getscn(elf, symbol->st_shndx), &shdr) && (shdr.sh_flags & SHF_EXECINSTR);
}

static unsigned int rank_of(const GElf_Sym *symbol)
{
	return (GELF_ST_TYPE(symbol->st_info) == STT_FUNC ? 0 : 2) + (GELF_ST_BIND(symbol->st_info) == STB_GLOBAL ? 0 : 1);
}

static int load_table(struct symbols *s, Elf *elf, Elf_Scn *section, const GElf_Shdr *shdr, uint64_t *stext)
{
	Elf_Data *names = elf_getdata(elf_getscn(elf, shdr->sh_link), NULL), *data = elf_getdata(section, NULL);
	const char *text;
	GElf_Sym symbol;
	int i, ret = 0;

	if (!names || !names->d_size || !data)
		return -EBADMSG;
	text = add_text(s, names->d_buf, names->d_size);
	if (!text)
		return -ENOMEM;
	for (i = 0; gelf_getsym(data, i, &symbol) && !ret; i++) {
		const char *name = text + symbol.st_name;

		if (symbol.st_name >= names->d_size || !*name || *name == '.' || *name == '$')
			continue;
		if (!strcmp(name, "_stext"))
			*stext = symbol.st_value;
		if (is_code(elf, &symbol))
			ret = add(s, symbol.st_value, symbol.st_size, name, rank_of(&symbol));
	}
	return ret;
}

/* .symtab has all, .dynsym what is exported. */
static int load_elf(struct symbols *s, const char *path, struct tt_blob blob, uint64_t *stext, struct tt_error *err)
{
	static const GElf_Word kinds[] = { SHT_SYMTAB, SHT_DYNSYM };
	size_t before = s->count;
	unsigned int i;
	int ret = 0;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)blob.data, blob.size);
	if (!elf)
		return tt_fail(err, -EINVAL, "%s: %s", path, elf_errmsg(-1));
	for (i = 0; i < 2 && !ret && s->count == before; i++) {
		Elf_Scn *section = NULL;
		GElf_Shdr shdr;

		while ((section = elf_nextscn(elf, section)) && !ret)
			if (gelf_getshdr(section, &shdr) && shdr.sh_type == kinds[i])
				ret = load_table(s, elf, section, &shdr, stext);
	}
	elf_end(elf);
	if (ret)
		return tt_fail(err, ret, "%s: %s", path, ret == -ENOMEM ? "out of memory" : "its symbol table is damaged");
	if (s->count == before)
		return tt_fail(err, -EINVAL, "%s: it has no symbols of functions", path);
	return 0;
}

/* ------------------------------------------------------------------ all */

static uint64_t kernel_shift(const struct vmcoreinfo *info, uint64_t stext, bool is_elf)
{
	uint64_t there, offset;

	if (!info)
		return 0;
	if (stext && vmcoreinfo_get_number(info, "SYMBOL(_stext)", 16, &there))
		return there - stext;
	if (is_elf && vmcoreinfo_get_number(info, "KERNELOFFSET", 16, &offset))
		return offset;
	return 0;
}

/* FILE@ADDRESS; the '@' in a name that has none behind it is the name's. */
static int split(const char *file, char **path, uint64_t *base)
{
	const char *at = strrchr(file, '@');
	char *end;

	*base = 0;
	*path = strdup(file);
	if (!*path)
		return -ENOMEM;
	if (!at || !at[1])
		return 0;
	errno = 0;
	*base = strtoull(at + 1, &end, 16);
	if (errno || *end)
		*base = 0;
	else
		(*path)[at - file] = '\0';
	return 0;
}

int symbols_load(struct symbols *s, const char *file, const struct vmcoreinfo *info, struct tt_error *err)
{
	size_t before = s->count, i;
	uint64_t base, shift, stext = 0;
	struct tt_blob blob;
	bool is_elf;
	char *path;
	int ret = split(file, &path, &base);

	if (ret)
		return tt_fail(err, ret, "out of memory");
	ret = map_file(path, &blob, err);
	if (ret)
		goto out;
	is_elf = blob.size >= SELFMAG && !memcmp(blob.data, ELFMAG, SELFMAG);
	ret = is_elf ? load_elf(s, path, blob, &stext, err) : load_list(s, path, blob, &stext, err);
	unmap_file(&blob);
	shift = kernel_shift(info, stext, is_elf);
	s->is_elf = is_elf;
	s->has_kernel = false;
	s->shift = shift;
	s->base = base;
	for (i = before; i < s->count && !ret; i++) {
		bool kernel = s->list[i].address >= KERNEL_MAP;

		s->list[i].address += kernel ? shift : base;
		s->has_kernel |= kernel;
	}
out:
	free(path);
	return ret;
}

static int compare(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return strcmp(x->name, y->name);
}

void symbols_finish(struct symbols *s)
{
	size_t i, kept = 0;

	if (!s->count)
		return;
	qsort(s->list, s->count, sizeof(*s->list), compare);
	for (i = 0; i < s->count; i++)
		if (!kept || s->list[i].address != s->list[kept - 1].address)
			s->list[kept++] = s->list[i];
	s->count = kept;
}

const struct symbol *symbols_find(const struct symbols *s, uint64_t address)
{
	size_t low = 0, high = s->count, middle;
	const struct symbol *found;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (s->list[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	found = &s->list[low - 1];
	return address - found->address < (found->size ? found->size : MAX_GUESS) ? found : NULL;
}

void symbols_free(struct symbols *s)
{
	while (s->num_texts)
		free(s->texts[--s->num_texts]);
	free(s->texts);
	free(s->list);
}
