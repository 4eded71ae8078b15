// SPDX-License-Identifier: GPL-2.0
/*
 * file.c - names of files, and making a history over a raw image.
 */
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

int ttdisk_history_path(const char *path, char *history, size_t size)
{
	size_t len = strlen(path), suffix = strlen(TTDISK_SUFFIX);
	bool is_history = len > suffix && !strcmp(path + len - suffix, TTDISK_SUFFIX);
	int ret = snprintf(history, size, "%s%s", path, is_history ? "" : TTDISK_SUFFIX);

	return ret < 0 || (size_t)ret >= size ? -ENAMETOOLONG : 0;
}

int ttdisk_is_history(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char text[FORMAT_TEXT_SIZE];
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = pread(fd, text, sizeof(text), 0);
	if (len < 0)
		len = -errno;
	close(fd);
	if (len < 0)
		return (int)len;
	return len == sizeof(text) && !memcmp(text, "ttvm disk ", strlen("ttvm disk "));
}

/* The folder of path without symbolic links, to be freed, or NULL with errno. */
static char *real_folder(const char *path)
{
	char *copy = strdup(path), *real = copy ? realpath(dirname(copy), NULL) : NULL;

	free(copy);
	return real;
}

char *ttd_disk_base_path(const char *history_path, const struct format_header *header)
{
	char *real = NULL, *folder = NULL, *path = NULL;

	if (header->base_path[0] == '/')
		return strdup(header->base_path);
	real = realpath(history_path, NULL);
	folder = real_folder(real ? real : history_path);
	if (folder && asprintf(&path, "%s/%s", folder, header->base_path) < 0)
		path = NULL;
	free(real);
	free(folder);
	return path;
}

int ttd_disk_store_path(const char *history, const char *base, char path[FORMAT_PATH_SIZE],
			struct tt_error *err)
{
	char *real = realpath(base, NULL), *folder = real_folder(history);
	char *base_folder = real ? real_folder(real) : NULL;
	const char *stored = real;
	int ret = 0;

	if (!real) {
		ret = tt_fail(err, -errno, "%s: %s", base, strerror(errno));
	} else if (folder && base_folder) {
		if (!strcmp(folder, base_folder))
			stored = strrchr(real, '/') + 1;
		memset(path, 0, FORMAT_PATH_SIZE);
		if (strlen(stored) >= FORMAT_PATH_SIZE)
			ret = tt_fail(err, -ENAMETOOLONG, "%s: its path is too long", base);
		else
			memcpy(path, stored, strlen(stored));
	} else {
		ret = tt_fail(err, -errno, "%s: %s", history, strerror(errno));
	}
	free(real);
	free(folder);
	free(base_folder);
	return ret;
}

int ttdisk_create(const char *history, const char *base,
		  const struct ttdisk_create_options *options, struct tt_error *err)
{
	struct format_header header = { 0 };
	int ret;

	if (!access(history, F_OK))
		return tt_fail(err, -EEXIST, "%s: exists already", history);
	if (ttdisk_is_history(base) == 1)
		return tt_fail(err, -EINVAL,
			       "%s: is a history itself; `ttvm disk branch` makes one over it",
			       base);
	ret = ttd_disk_store_path(history, base, header.base_path, err);
	if (!ret)
		ret = ttd_base_identify(base, options && options->hash_base, &header, err);
	if (!ret)
		ret = ttd_history_new_uuid(&header, history, err);
	return ret ? ret : ttd_history_create(history, &header, err);
}
