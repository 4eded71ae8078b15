// SPDX-License-Identifier: GPL-2.0
/*
 * vmcoreinfo.c - finding a Linux guest's VMCOREINFO.
 *
 * The kernel keeps it at boot as an ELF note that begins on a page of its own (kernel/vmcore_info.c), and tells a
 * hypervisor where through the fw_cfg file etc/vmcoreinfo, if there is one. We look for the note itself: that needs
 * nothing of the guest, and works with recordings that were made before. A copy that an earlier kernel has left, or a
 * file in the page cache, is told apart by what it says: the kernel's release must stand where it says that it does.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmcoreinfo.h"

#define NOTE_NAME "VMCOREINFO"
#define TEXT_MAX TT_PAGE_SIZE	/* VMCOREINFO_BYTES */
#define FIRST_KEY "OSRELEASE"
/* Where the kernel's image is mapped (arch/x86/include/asm/page_64_types.h: __START_KERNEL_map). */
#define KERNEL_MAP 0xffffffff80000000ull
/* In struct new_utsname, behind two names of __NEW_UTS_LEN + 1 bytes. */
#define UTS_RELEASE 130

bool vmcoreinfo_get(const struct vmcoreinfo *info, const char *key, char value[VMCOREINFO_VALUE_MAX])
{
	const char *line = info->text, *end = info->text + info->size, *next;
	size_t key_len = strlen(key), len;

	for (; line < end; line = next + 1) {
		next = memchr(line, '\n', end - line);
		if (!next)
			next = end;
		len = next - line;
		if (len <= key_len || memcmp(line, key, key_len) || line[key_len] != '=')
			continue;
		len -= key_len + 1;
		if (len >= VMCOREINFO_VALUE_MAX)
			return false;
		memcpy(value, line + key_len + 1, len);
		value[len] = '\0';
		return true;
	}
	return false;
}

bool vmcoreinfo_get_number(const struct vmcoreinfo *info, const char *key, int base, uint64_t *value)
{
	char text[VMCOREINFO_VALUE_MAX], *end;

	if (!vmcoreinfo_get(info, key, text) || !*text)
		return false;
	errno = 0;
	*value = strtoull(text, &end, base); /* of a negative one the two's complement */
	return !errno && !*end;
}

static bool is_text(const char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		if ((text[i] < ' ' || text[i] > '~') && text[i] != '\n')
			return false;
	return size > 0;
}

/* Does the kernel that is described stand in this memory? Kernels before 5.11 do not say where their release is. */
static bool is_true(const struct tt_memory *mem, const struct vmcoreinfo *info)
{
	char release[VMCOREINFO_VALUE_MAX];
	uint64_t page_size, names, offset, phys_base;
	const char *there;

	if (!vmcoreinfo_get(info, FIRST_KEY, release) || !*release ||
	    !vmcoreinfo_get_number(info, "PAGESIZE", 10, &page_size) || page_size != TT_PAGE_SIZE)
		return false;
	if (!vmcoreinfo_get_number(info, "SYMBOL(init_uts_ns)", 16, &names) ||
	    !vmcoreinfo_get_number(info, "OFFSET(uts_namespace.name)", 10, &offset) ||
	    !vmcoreinfo_get_number(info, "NUMBER(phys_base)", 10, &phys_base))
		return true;
	there = tt_memory_at(mem, names - KERNEL_MAP + phys_base + offset + UTS_RELEASE, strlen(release) + 1);
	return there && !memcmp(there, release, strlen(release) + 1);
}

static bool look_at(const struct tt_memory *mem, const uint8_t *page, struct vmcoreinfo *info)
{
	static const char name[12] = NOTE_NAME; /* padded to 4 bytes */
	const size_t head = sizeof(Elf64_Nhdr) + sizeof(name), left = mem->hva + mem->size - page;
	Elf64_Nhdr note;

	memcpy(&note, page, sizeof(note));
	if (note.n_namesz != sizeof(NOTE_NAME) || note.n_type || !note.n_descsz || note.n_descsz > TEXT_MAX ||
	    head + note.n_descsz > left || memcmp(page + sizeof(note), name, sizeof(name)))
		return false;
	info->text = (const char *)page + head;
	info->size = note.n_descsz;
	return is_text(info->text, info->size) && !strncmp(info->text, FIRST_KEY "=", sizeof(FIRST_KEY)) &&
	       is_true(mem, info);
}

bool vmcoreinfo_find(const struct tt_memory *mem, struct vmcoreinfo *info)
{
	uint64_t words = (mem->size / TT_PAGE_SIZE + 63) / 64, word;
	uint64_t *touched = calloc(words, sizeof(*touched));
	bool found = false;

	if (!touched)
		return false;
	tt_memory_touched(mem, touched);
	for (word = 0; word < words && !found; word++)
		for (; touched[word] && !found; touched[word] &= touched[word] - 1)
			found = look_at(mem, mem->hva + (word * 64 + __builtin_ctzll(touched[word])) * TT_PAGE_SIZE, info);
	free(touched);
	return found;
}
