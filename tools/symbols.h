/* SPDX-License-Identifier: GPL-2.0 */
/*
 * symbols.h - names of a guest's functions, from ELF files and from lists like System.map and /proc/kallsyms.
 */
#ifndef TTVM_TOOLS_SYMBOLS_H
#define TTVM_TOOLS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmcoreinfo.h"

struct symbol {
	uint64_t address;
	uint64_t size;		/* 0: unknown */
	const char *name;	/* in the text of its file */
	unsigned int rank;	/* of several at one address the lowest is shown */
	bool data;		/* a variable */
};

struct symbols {
	struct symbol *list;	/* by address after symbols_finish() */
	size_t count, room;
	char **texts;		/* names live here */
	size_t num_texts;
	bool with_data;		/* set it: variables of lists, too, which symbols_find() must not get */
	/* Of the last file: */
	bool is_elf;
	bool has_kernel;	/* it has addresses of the kernel's text */
	uint64_t shift;		/* by so much those were moved, */
	uint64_t base;		/* and by this the others */
};

/*
 * Add the functions of a file: an ELF file's symbol table (.symtab, else .dynsym), or lines "ADDRESS TYPE NAME".
 * FILE@ADDRESS moves them by ADDRESS, for a library or a position-independent program. Kernel addresses are moved to
 * where the guest's kernel really is (KASLR): info is its own word for it, or NULL. 0 or -errno, with err filled in.
 */
int symbols_load(struct symbols *symbols, const char *file, const struct vmcoreinfo *info, struct tt_error *err);
/* After the last file, before the first look. */
void symbols_finish(struct symbols *symbols);
/* The function that an address belongs to, or NULL. */
const struct symbol *symbols_find(const struct symbols *symbols, uint64_t address);
void symbols_free(struct symbols *symbols);

#endif /* TTVM_TOOLS_SYMBOLS_H */
