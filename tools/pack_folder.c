// SPDX-License-Identifier: GPL-2.0
/*
 * pack_folder.c - where packs and their contents grow, so that nothing half-written is ever seen under its name; and progress.
 */
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack.h"

int pack_path(const char *folder, const char *name, char path[PATH_MAX], struct tt_error *err)
{
	if (snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX)
		return 0;
	return tt_fail(err, -ENAMETOOLONG, "%s: the name is too long", name);
}

int pack_folder_create(const char *beside, char folder[PATH_MAX], struct tt_error *err)
{
	char *copy = strdup(beside);
	int ret;

	folder[0] = '\0';
	if (!copy)
		return tt_fail(err, -ENOMEM, "out of memory");
	ret = pack_path(dirname(copy), ".ttvm-pack-XXXXXX", folder, err);
	free(copy);
	if (!ret && !mkdtemp(folder)) {
		ret = tt_fail(err, -errno, "%s: cannot create a folder: %s", folder, strerror(errno));
		folder[0] = '\0';
	}
	return ret;
}

void pack_folder_remove(const char *folder)
{
	struct dirent *entry;
	DIR *dir;

	if (!folder[0])
		return;
	dir = opendir(folder);
	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(folder);
}

int pack_place(const char *from, const char *to, struct tt_error *err)
{
	int ret = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);

	/* Not all file systems can; a link does not replace, either. */
	if (ret && errno == EINVAL) {
		ret = link(from, to);
		if (!ret)
			unlink(from);
	}
	if (!ret)
		return 0;
	if (errno == EEXIST)
		return tt_fail(err, -EEXIST, "%s: exists already", to);
	return tt_fail(err, -errno, "%s: cannot write it: %s", to, strerror(errno));
}

/* ------------------------------------------------------------------ progress */

void pack_progress_begin(struct pack_progress *progress, const char *what, uint64_t total)
{
	*progress = (struct pack_progress){ .what = what, .start = seconds_now(), .total = total };
}

int pack_progress_add(struct pack_progress *progress, uint64_t bytes)
{
	double now = seconds_now();

	progress->done += bytes;
	if (now - progress->start > 1 && now - progress->shown > 0.2 && isatty(STDERR_FILENO)) {
		progress->shown = now;
		fprintf(stderr, "\rttvm: %3.0f %% %s   ",
			progress->done < progress->total ? 100.0 * progress->done / progress->total : 100.0, progress->what);
	}
	return watch_wants_end() ? -EINTR : 0;
}

void pack_progress_end(struct pack_progress *progress)
{
	if (progress->shown > 0)
		fputs("\r\033[K", stderr);
	progress->shown = 0;
}
