/* SPDX-License-Identifier: GPL-2.0 */
/*
 * image.h - what kind of file is it that the user calls a guest or a disk? Told by content, never by name.
 */
#ifndef TTVM_TOOLS_IMAGE_H
#define TTVM_TOOLS_IMAGE_H

#include "ttvm/error.h"

enum image_kind {
	IMAGE_UNREADABLE,	/* err: it cannot be opened or read, or is a folder, a pipe, ... */
	IMAGE_FOREIGN,		/* err: what it is, and the command that makes something of it that ttvm can use */
	IMAGE_KERNEL,		/* an ELF file or a bzImage; whether it can be started is tt_boot_probe()'s business */
	IMAGE_RAW,		/* a raw disk: whole sectors */
	IMAGE_TTD,		/* the history of a time-travel disk */
};

enum image_kind image_probe(const char *path, struct tt_error *err);

#endif /* TTVM_TOOLS_IMAGE_H */
