/* SPDX-License-Identifier: GPL-2.0 */
/*
 * archive.h - plain files in one file: a tar archive of the ustar format (POSIX.1-2017, pax, "ustar Interchange Format"), in
 * one zstd frame with a checksum. `tar --zstd -tvf` lists it, `tar --zstd -xf` takes it apart.
 *
 * Only files of one folder: names without '/'. Sizes of 8 GiB and more are written in base 256, as GNU tar does.
 */
#ifndef TTVM_TOOLS_ARCHIVE_H
#define TTVM_TOOLS_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ttvm/error.h"

#define ARCHIVE_NAME_SIZE 100 /* with the NUL */

/* Can a file be called so? Printable, without '/', not beginning with '.', and short enough. */
bool archive_name_valid(const char *name);

struct archive_writer;

/* path must not exist. */
int archive_create(const char *path, struct archive_writer **writer, struct tt_error *err);
/* A file of so many bytes follows, which are given to archive_write() in any pieces. */
int archive_add(struct archive_writer *writer, const char *name, uint64_t size, struct tt_error *err);
int archive_write(struct archive_writer *writer, const void *data, size_t len, struct tt_error *err);
/* Finish, on stable storage; *bytes: the file's size. */
int archive_finish(struct archive_writer *writer, uint64_t *bytes, struct tt_error *err);
/* Frees. What was not finished stays as it is, for the caller to delete. */
void archive_writer_destroy(struct archive_writer *writer);

struct archive_reader;

/*
 * All of the reader's functions return -EBADMSG when what is there is damaged, cut short, or no such archive, and other errors
 * when it cannot be read.
 */
int archive_open(const char *path, struct archive_reader **reader, struct tt_error *err);
/* 1: the next file, whose bytes archive_read() gives, all of them; 0: there is none, and the whole archive was intact. */
int archive_next(struct archive_reader *reader, char name[ARCHIVE_NAME_SIZE], uint64_t *size, struct tt_error *err);
/* Exactly len bytes of the file. */
int archive_read(struct archive_reader *reader, void *data, size_t len, struct tt_error *err);
/* How far it is in the compressed file, and how long that is. */
void archive_progress(const struct archive_reader *reader, uint64_t *done, uint64_t *total);
void archive_close(struct archive_reader *reader);

#endif /* TTVM_TOOLS_ARCHIVE_H */
