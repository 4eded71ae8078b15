// SPDX-License-Identifier: GPL-2.0
/*
 * boot_elf.c - ELF kernels: vmlinux and anything with a PVH entry.
 *
 * A note of the owner "Linux" marks a Linux kernel. A 64-bit one is entered at its ELF entry, which
 * is a physical address, by the 64-bit boot protocol, because only that can pass a seed for the
 * random number generator. All others need the note XEN_ELFNOTE_PHYS32_ENTRY, owner "Xen", whose
 * content is the physical address of a 32-bit entry.
 */
#include <gelf.h>
#include <string.h>

#include "boot.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define LINUX_COMMAND_LINE_MAX	 2047
#define LINUX_INITRD_MAX	 0x7fffffffull

struct notes {
	bool linux_owner;
	bool pvh;
	uint64_t pvh_entry;
};

bool tt_boot_is_elf(struct tt_blob kernel)
{
	return kernel.size >= SELFMAG && memcmp(kernel.data, ELFMAG, SELFMAG) == 0;
}

static bool owner_is(const char *data, size_t offset, size_t size, const char *owner)
{
	return size == strlen(owner) + 1 && memcmp(data + offset, owner, size) == 0;
}

static void read_notes(Elf *elf, const GElf_Phdr *phdr, struct notes *notes)
{
	Elf_Type type = phdr->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR;
	size_t offset = 0, name, desc;
	GElf_Nhdr note;
	Elf_Data *data;

	/* NULL when the segment is not within the file: then there are no notes, and the caller
	 * says what is missing. */
	data = elf_getdata_rawchunk(elf, phdr->p_offset, phdr->p_filesz, type);
	if (!data)
		return;
	while (offset < data->d_size &&
	       (offset = gelf_getnote(data, offset, &note, &name, &desc)) > 0) {
		const char *bytes = data->d_buf;

		if (owner_is(bytes, name, note.n_namesz, "Linux"))
			notes->linux_owner = true;
		if (owner_is(bytes, name, note.n_namesz, "Xen") &&
		    note.n_type == XEN_ELFNOTE_PHYS32_ENTRY &&
		    (note.n_descsz == 4 || note.n_descsz == 8)) {
			notes->pvh_entry = 0;
			memcpy(&notes->pvh_entry, bytes + desc, note.n_descsz);
			notes->pvh = true;
		}
	}
}

static int add_segment(const char *name, struct tt_blob kernel, const GElf_Phdr *phdr,
		       struct tt_boot_image *image, struct tt_error *err)
{
	struct tt_boot_segment *segment = &image->segments[image->num_segments];
	unsigned long long paddr = phdr->p_paddr;

	if (phdr->p_memsz == 0 && phdr->p_filesz == 0)
		return 0;
	if (phdr->p_filesz > phdr->p_memsz)
		return tt_fail(
			err, -ENOEXEC,
			"%s: ELF segment at 0x%llx has more bytes in the file (0x%llx) than in "
			"memory (0x%llx); the file is damaged",
			name, paddr, (unsigned long long)phdr->p_filesz,
			(unsigned long long)phdr->p_memsz);
	if (phdr->p_offset > kernel.size || phdr->p_filesz > kernel.size - phdr->p_offset)
		return tt_fail(err, -ENOEXEC,
			       "%s: ELF file is truncated: %zu bytes, but the segment for 0x%llx "
			       "ends at 0x%llx; copy it again",
			       name, kernel.size, paddr,
			       (unsigned long long)(phdr->p_offset + phdr->p_filesz));
	if (phdr->p_paddr > UINT64_MAX - phdr->p_memsz)
		return tt_fail(
			err, -ENOEXEC,
			"%s: ELF segment of 0x%llx bytes at 0x%llx lies outside of any possible "
			"memory; is the file damaged?",
			name, (unsigned long long)phdr->p_memsz, paddr);
	if (image->num_segments == BOOT_MAX_SEGMENTS)
		return tt_fail(err, -ENOEXEC, "%s: more than %u ELF segments; is this a kernel?",
			       name, BOOT_MAX_SEGMENTS);
	segment->gpa = phdr->p_paddr;
	segment->memory_size = phdr->p_memsz;
	segment->file_offset = phdr->p_offset;
	segment->file_size = phdr->p_filesz;
	image->num_segments++;
	return 0;
}

static int choose_protocol(const char *name, const GElf_Ehdr *ehdr, const struct notes *notes,
			   struct tt_boot_image *image, struct tt_error *err)
{
	if (notes->linux_owner && ehdr->e_machine == EM_X86_64) {
		image->protocol = BOOT_LINUX64;
		image->entry = ehdr->e_entry;
		image->initrd_max = LINUX_INITRD_MAX;
		image->command_line_max = LINUX_COMMAND_LINE_MAX;
		tt_boot_linux_header(&image->header);
		image->header.cmdline_size = LINUX_COMMAND_LINE_MAX;
		image->header.initrd_addr_max = LINUX_INITRD_MAX;
		return 0;
	}
	if (notes->pvh) {
		image->protocol = BOOT_PVH;
		image->entry = notes->pvh_entry;
		image->initrd_max = UINT32_MAX;
		image->command_line_max = UINT64_MAX;
		return 0;
	}
	return tt_fail(
		err, -ENOEXEC,
		"%s: an ELF file without a kernel's note (owner Linux, or Xen with "
		"PHYS32_ENTRY); is this a kernel? For Linux use vmlinux with its notes, or bzImage",
		name);
}

static int parse(const char *name, struct tt_blob kernel, Elf *elf, struct tt_boot_image *image,
		 struct tt_error *err)
{
	struct notes notes = {0};
	size_t count, i;
	GElf_Ehdr ehdr;
	GElf_Phdr phdr;
	int ret;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &ehdr))
		return tt_fail(err, -ENOEXEC, "%s: ELF header is damaged or truncated (%s)", name,
			       elf_errmsg(-1));
	if (ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    (ehdr.e_machine != EM_X86_64 && ehdr.e_machine != EM_386))
		return tt_fail(err, -ENOEXEC,
			       "%s: an ELF file for another CPU (machine %u); ttvm runs x86-64 "
			       "kernels",
			       name, ehdr.e_machine);
	if (ehdr.e_type != ET_EXEC && ehdr.e_type != ET_DYN)
		return tt_fail(err, -ENOEXEC,
			       "%s: an ELF file that cannot be run (type %u: object or core); "
			       "name a linked kernel",
			       name, ehdr.e_type);
	if (elf_getphdrnum(elf, &count) < 0 || count == 0)
		return tt_fail(err, -ENOEXEC, "%s: ELF file has no segments to load", name);
	for (i = 0; i < count; i++) {
		if (!gelf_getphdr(elf, i, &phdr))
			return tt_fail(err, -ENOEXEC,
				       "%s: ELF program headers are damaged or truncated (%s)",
				       name, elf_errmsg(-1));
		ret = 0;
		if (phdr.p_type == PT_LOAD)
			ret = add_segment(name, kernel, &phdr, image, err);
		else if (phdr.p_type == PT_NOTE)
			read_notes(elf, &phdr, &notes);
		if (ret)
			return ret;
	}
	if (image->num_segments == 0)
		return tt_fail(err, -ENOEXEC, "%s: ELF file has no segments to load", name);
	ret = choose_protocol(name, &ehdr, &notes, image, err);
	if (ret)
		return ret;
	for (i = 0; i < image->num_segments; i++) {
		const struct tt_boot_segment *s = &image->segments[i];

		if (image->entry >= s->gpa && image->entry - s->gpa < s->memory_size)
			return 0;
	}
	return tt_fail(err, -ENOEXEC,
		       "%s: its entry 0x%llx is in none of its segments; is the file damaged?",
		       name, (unsigned long long)image->entry);
}

int tt_boot_parse_elf(const char *name, struct tt_blob kernel, struct tt_boot_image *image,
		      struct tt_error *err)
{
	Elf *elf;
	int ret;

	elf_version(EV_CURRENT);
	/* libelf takes a pointer to non-const for its writing mode, which nobody asks for here. */
	elf = elf_memory((char *)(uintptr_t)kernel.data, kernel.size);
	if (!elf)
		return tt_fail(err, -ENOEXEC, "%s: ELF header is damaged or truncated (%s)", name,
			       elf_errmsg(-1));
	ret = parse(name, kernel, elf, image, err);
	elf_end(elf);
	return ret;
}
