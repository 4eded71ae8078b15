// SPDX-License-Identifier: GPL-2.0
/*
 * image.c - what kind of file is it that the user calls a guest or a disk?
 *
 * Kernels, time-travel disks and the image formats of other virtual machines have magic numbers. A raw disk has none (its
 * boot sector ends in 55 aa, but so does a bzImage's, and a disk that is one file system has nothing at all), so
 * everything else that consists of whole sectors is one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "ttdisk.h"

#define SECTOR		512
#define BZIMAGE_MAGIC	0x202	/* "HdrS", as boot_bzimage.c has it */
#define HEAD		1024	/* bytes that are looked at */

struct magic {
	unsigned int offset;
	unsigned int len;
	const char *bytes;
	const char *what;
	const char *format;	/* qemu-img's name of a disk format; NULL: advice says what to do */
	const char *advice;
};

static const struct magic foreign[] = {
	{ 0, 8, "QFI\xfb\0\0\0\1", "a qcow disk image", "qcow", NULL },
	{ 0, 4, "QFI\xfb", "a qcow2 disk image", "qcow2", NULL },
	{ 0, 4, "QED\0", "a QED disk image", "qed", NULL },
	{ 0, 4, "KDMV", "a VMDK disk image", "vmdk", NULL },
	{ 0, 4, "COWD", "a VMDK disk image", "vmdk", NULL },
	{ 0, 21, "# Disk DescriptorFile", "the descriptor of a VMDK disk image", "vmdk", NULL },
	{ 0x40, 4, "\x7f\x10\xda\xbe", "a VDI disk image", "vdi", NULL },
	{ 0, 8, "vhdxfile", "a VHDX disk image", "vhdx", NULL },
	{ 0, 8, "conectix", "a VHD disk image", "vpc", NULL },
	{ 0, 16, "WithoutFreeSpace", "a Parallels disk image", "parallels", NULL },
	{ 0, 16, "WithouFreSpacExt", "a Parallels disk image", "parallels", NULL },
	{ 0, 21, "Bochs Virtual HD Image", "a Bochs growing disk image", "bochs", NULL },
	{ 0, 2, "\x1f\x8b", "a gzip file", NULL, "unpack it with gunzip" },
	{ 0, 6, "\xfd\x37zXZ\0", "an xz file", NULL, "unpack it with unxz" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "a zstd file", NULL, "unpack it with unzstd (a recording goes to ttvm replay)" },
	{ 0, 3, "BZh", "a bzip2 file", NULL, "unpack it with bunzip2" },
	{ 0, 6, "7z\xbc\xaf\x27\x1c", "a 7z archive", NULL, "unpack it" },
	{ 0, 4, "PK\3\4", "a zip archive", NULL, "unpack it" },
	{ 257, 5, "ustar", "a tar archive", NULL, "make a file system of it, or name the image that is in it" },
	{ 0, 5, "07070", "a cpio archive", NULL, "it goes to --initrd" },
	{ 0, 2, "MZ", "an EFI program without a Linux boot header", NULL, "name an x86 bzImage" },
	{ 0, 7, "!<arch>", "a package or archive", NULL, "unpack the kernel from it" },
};

/* Formats that are known by the last sector. */
static const struct magic footers[] = {
	{ 0, 8, "conectix", "a VHD disk image", "vpc", NULL },
	{ 0, 4, "koly", "a DMG disk image", "dmg", NULL },
};

static int refuse(const char *path, const struct magic *m, struct tt_error *err)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
	int stem = dot && dot != base ? (int)(dot - path) : (int)strlen(path);

	if (!m->format)
		return tt_fail(err, -ENOEXEC, "%s: %s: %s", path, m->what, m->advice);
	return tt_fail(err, -ENOEXEC,
		       "%s: %s; ttvm takes raw disks only. Convert it: qemu-img convert -f %s -O raw '%s' '%.*s.img'",
		       path, m->what, m->format, path, stem, path);
}

static const struct magic *find(const struct magic *table, size_t count, const uint8_t *data, size_t len)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (table[i].offset + table[i].len <= len &&
		    !memcmp(data + table[i].offset, table[i].bytes, table[i].len))
			return &table[i];
	return NULL;
}

static bool is_kernel(const uint8_t *data, size_t len)
{
	if (len >= 4 && !memcmp(data, "\x7f" "ELF", 4))
		return true;
	return len >= BZIMAGE_MAGIC + 4 && !memcmp(data + BZIMAGE_MAGIC, "HdrS", 4);
}

static enum image_kind probe_file(const char *path, int fd, struct tt_error *err)
{
	uint8_t head[HEAD], foot[SECTOR];
	const struct magic *m;
	struct stat st;
	ssize_t len;
	off_t size;

	if (fstat(fd, &st) < 0)
		goto fail;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		tt_fail(err, -EINVAL, "%s: neither a regular file nor a block device", path);
		return IMAGE_UNREADABLE;
	}
	size = lseek(fd, 0, SEEK_END);
	if (size < 0)
		goto fail;
	len = pread(fd, head, sizeof(head), 0);
	if (len < 0)
		goto fail;
	if (!len) {
		tt_fail(err, -EINVAL, "%s: the file is empty", path);
		return IMAGE_UNREADABLE;
	}
	if (is_kernel(head, len))
		return IMAGE_KERNEL;
	if (ttdisk_is_history(path) > 0)
		return IMAGE_TTD;
	m = find(foreign, sizeof(foreign) / sizeof(foreign[0]), head, len);
	if (!m && size >= SECTOR) {
		if (pread(fd, foot, SECTOR, size - SECTOR) != SECTOR)
			goto fail;
		m = find(footers, sizeof(footers) / sizeof(footers[0]), foot, SECTOR);
	}
	if (m) {
		refuse(path, m, err);
		return IMAGE_FOREIGN;
	}
	if (size % SECTOR) {
		tt_fail(err, -ENOEXEC,
			"%s: neither a kernel (ELF, bzImage) nor a disk: a raw disk is a multiple of %d bytes long, this "
			"file has %lld", path, SECTOR, (long long)size);
		return IMAGE_FOREIGN;
	}
	return IMAGE_RAW;
fail:
	tt_fail(err, -EIO, "%s: %s", path, strerror(errno ? errno : EIO));
	return IMAGE_UNREADABLE;
}

enum image_kind image_probe(const char *path, struct tt_error *err)
{
	enum image_kind kind;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		return IMAGE_UNREADABLE;
	}
	kind = probe_file(path, fd, err);
	close(fd);
	return kind;
}
