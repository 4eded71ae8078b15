/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pack.h - packs: a recording and what it needs of its disks in one file. What `ttvm pack` and `ttvm unpack` share.
 *
 * A pack is an archive (archive.h). Its first file is the manifest, JSON:
 *
 *   { "format": "ttvm-pack", "version": 1, "ttvm": VERSION, "id": recording, "log": NAME,
 *     "files": [ { "name": NAME, "size": BYTES, "xxh64": "%016x" }, ... ] }
 *
 * and the others are those that it lists, in that order: the log, and for each disk its history and what that stands on,
 * all in one folder. They can be used where `tar --zstd -xf` puts them, too; `ttvm unpack` verifies them first.
 */
#ifndef TTVM_TOOLS_PACK_H
#define TTVM_TOOLS_PACK_H

#include <limits.h>

#include "archive.h"
#include "disk_source.h"
#include "ttvm.h"

#define PACK_MANIFEST "ttvm-pack.json"
#define PACK_MANIFEST_MAX (1u << 20)
#define PACK_SUFFIX ".tar.zst"
#define PACK_CHUNK (256u << 10)
/* The log, and for each disk a chain of branches with what lies below. */
#define PACK_MAX_FILES 256

struct pack_file {
	char name[ARCHIVE_NAME_SIZE];
	uint64_t size;
	uint64_t xxh64;
};

struct pack_manifest {
	char id[TT_RECORDING_ID_SIZE];
	char log[ARCHIVE_NAME_SIZE];
	struct pack_file files[PACK_MAX_FILES];
	unsigned int num_files;
};

/* ---- pack_manifest.c ---- */

/* JSON text, to be freed; NULL: out of memory. */
char *pack_manifest_text(const struct pack_manifest *manifest);
/* text may be anything. -EBADMSG. */
int pack_manifest_parse(const char *text, size_t len, struct pack_manifest *manifest, struct tt_error *err);
/* Which file of it is called so, or NULL. */
const struct pack_file *pack_find(const struct pack_manifest *manifest, const char *name);

/* ---- pack_folder.c: work that appears only when it is complete ---- */

/* A folder beside what is being made, where it grows. */
int pack_folder_create(const char *beside, char folder[PATH_MAX], struct tt_error *err);
/* Delete it with all its files. */
void pack_folder_remove(const char *folder);
/* Give a file its name in the end, which must be free: -EEXIST. Both in one file system. */
int pack_place(const char *from, const char *to, struct tt_error *err);
/* folder + "/" + name. -ENAMETOOLONG */
int pack_path(const char *folder, const char *name, char path[PATH_MAX], struct tt_error *err);

struct pack_progress {
	const char *what;	/* "packed" */
	double start, shown;
	uint64_t done, total;	/* bytes */
};

void pack_progress_begin(struct pack_progress *progress, const char *what, uint64_t total);
/* So many bytes more. -EINTR, without a message: the user wants it to end. */
int pack_progress_add(struct pack_progress *progress, uint64_t bytes);
void pack_progress_end(struct pack_progress *progress);

/* ---- pack_disk.c ---- */

/* What a pack takes of a recording's disk. */
struct pack_disk {
	const struct tt_disk_source *source;
	const char *recording;		/* its id */
	char history[PATH_MAX];		/* where it is */
	struct disk_ranges read;	/* of the raw image, in bytes: what the recording has read */
	bool whole;			/* all of the image instead */
	char name[ARCHIVE_NAME_SIZE];	/* of its history in the pack */
	uint64_t image_bytes;		/* that are taken */
};

/*
 * Put the files of a disk into folder, and their names into the manifest, which has no room for them otherwise (-E2BIG). Checksums and sizes
 * are not filled in.
 */
int pack_disk(struct pack_disk *disk, const char *folder, struct pack_manifest *manifest, struct pack_progress *progress,
	      struct tt_error *err);
/* At least how many bytes pack_disk() will move. */
uint64_t pack_disk_bytes(const struct pack_disk *disk);

#endif /* TTVM_TOOLS_PACK_H */
