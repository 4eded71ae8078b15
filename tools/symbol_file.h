/* SPDX-License-Identifier: GPL-2.0 */
/*
 * symbol_file.h - a list of symbols (System.map, /proc/kallsyms) as an ELF file, which is what gdb reads.
 */
#ifndef TTVM_TOOLS_SYMBOL_FILE_H
#define TTVM_TOOLS_SYMBOL_FILE_H

#include "symbols.h"

/*
 * Write all symbols to a new file. The list is sorted by address on the way. 0, or -errno with err filled in; no file is left
 * then.
 */
int symbol_file_write(struct symbols *symbols, const char *path, struct tt_error *err);

#endif /* TTVM_TOOLS_SYMBOL_FILE_H */
