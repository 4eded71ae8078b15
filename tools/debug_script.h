/* SPDX-License-Identifier: GPL-2.0 */
/*
 * debug_script.h - what `ttvm debug` lets gdb do before it connects: a script in the session's folder, and symbols.
 */
#ifndef TTVM_TOOLS_DEBUG_SCRIPT_H
#define TTVM_TOOLS_DEBUG_SCRIPT_H

#include "vmm.h"

#define DEBUG_SCRIPT "script" /* its name in the folder */

/*
 * Write it, and a file for each list among the files with symbols (those that symbols_load() takes). mem is the guest's, which
 * may say where its kernel is. 0, or -errno with err filled in; what there is then is for debug_script_remove(), too.
 */
int debug_script_write(const char *folder, const char *const *files, unsigned int num_files, const struct tt_memory *mem,
		       struct tt_error *err);
void debug_script_remove(const char *folder, unsigned int num_files);

#endif /* TTVM_TOOLS_DEBUG_SCRIPT_H */
