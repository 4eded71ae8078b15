// SPDX-License-Identifier: GPL-2.0
/*
 * debug_script.c - see debug_script.h.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "debug_script.h"
#include "symbol_file.h"
#include "ttvm.h"

/*
 * gdb does not know that a monitor command has moved the machine: it would show old registers and frames, and compare what is
 * written to a watched place with a value of another time. Without Python the second part fails, and leaves the first.
 */
static const char look_again[] =
	"define hookpost-monitor\n"
	"  maintenance flush register-cache\n"
	"end\n"
	"python\n"
	"import gdb\n"
	"def ttvm_look_again():\n"
	"    gdb.execute('maintenance flush register-cache', to_string=True)\n"
	"    gdb.execute('maintenance flush dcache', to_string=True)\n"
	"    for point in gdb.breakpoints():\n"
	"        if point.type in (gdb.BP_HARDWARE_WATCHPOINT, gdb.BP_ACCESS_WATCHPOINT) and point.enabled:\n"
	"            point.enabled = False\n"
	"            point.enabled = True\n"
	"gdb.execute('define hookpost-monitor\\npython ttvm_look_again()\\nend')\n"
	"end\n";

static void list_path(const char *folder, unsigned int i, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/symbols-%u", folder, i);
}

/* A path in quotes, as gdb reads its commands. */
static void quote(FILE *script, const char *path, size_t len)
{
	size_t i;

	fputc('"', script);
	for (i = 0; i < len; i++) {
		if (path[i] == '"' || path[i] == '\\')
			fputc('\\', script);
		fputc(path[i], script);
	}
	fputc('"', script);
}

static int add_symbols(FILE *script, const char *folder, unsigned int i, const char *file, const struct vmcoreinfo *info,
		       struct tt_error *err)
{
	struct symbols s = { .with_data = true };
	char path[PATH_MAX];
	int ret = strchr(file, '\n') ? tt_fail(err, -EINVAL, "a file name with a line break is not for gdb") :
				       symbols_load(&s, file, info, err);

	if (!ret && !s.is_elf) {
		/* Its addresses have been moved already. */
		list_path(folder, i, path);
		ret = symbol_file_write(&s, path, err);
		fprintf(script, "add-symbol-file %s\n", path);
	} else if (!ret) {
		fputs("add-symbol-file ", script);
		quote(script, file, s.base ? (size_t)(strrchr(file, '@') - file) : strlen(file));
		fprintf(script, " -o 0x%llx\n", (unsigned long long)(s.base ? s.base : s.shift));
	}
	if (!ret && s.has_kernel && !info)
		say("%s: the guest has not said yet where its kernel is, so the addresses are taken as they are; if it moves "
		    "itself (KASLR), begin later (--to-instr)", file);
	symbols_free(&s);
	return ret;
}

int debug_script_write(const char *folder, const char *const *files, unsigned int num_files, const struct tt_memory *mem,
		       struct tt_error *err)
{
	struct vmcoreinfo info;
	bool has_info = num_files && vmcoreinfo_find(mem, &info);
	char path[PATH_MAX];
	unsigned int i;
	FILE *script;
	int ret = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, DEBUG_SCRIPT);
	script = fopen(path, "w");
	if (!script)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	fputs(look_again, script);
	for (i = 0; i < num_files && !ret; i++)
		ret = add_symbols(script, folder, i, files[i], has_info ? &info : NULL, err);
	if (fclose(script) && !ret)
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	return ret;
}

void debug_script_remove(const char *folder, unsigned int num_files)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, DEBUG_SCRIPT);
	unlink(path);
	while (num_files--) {
		list_path(folder, num_files, path);
		unlink(path);
	}
}
