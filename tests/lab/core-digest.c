// SPDX-License-Identifier: GPL-2.0
/*
 * core-digest - the digest of all memory in a core that `ttvm dump` has written, as `ttvm replay --mem-digest` prints it.
 *
 * usage: core-digest CORE
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm.h"

/* The regions of RAM come first, by rising physical address; what follows shows them again. */
static bool next_region(Elf *elf, size_t *i, uint64_t end, GElf_Phdr *phdr)
{
	size_t n;

	elf_getphdrnum(elf, &n);
	for (; *i < n; ++*i)
		if (gelf_getphdr(elf, *i, phdr) && phdr->p_type == PT_LOAD)
			return phdr->p_paddr == end || (end && end <= TT_RAM_BELOW_4G && phdr->p_paddr == TT_RAM_ABOVE);
	return false;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
	uint64_t size = 0, at = 0, end = 0;
	struct tt_error error;
	struct tt_memory mem;
	GElf_Phdr phdr;
	size_t i;
	Elf *elf;

	if (fd < 0)
		err(1, "usage: core-digest CORE");
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		errx(1, "%s", elf_errmsg(-1));
	for (i = 0; next_region(elf, &i, end, &phdr); i++, end = phdr.p_paddr + phdr.p_memsz)
		size += phdr.p_memsz;
	if (!size || tt_memory_create(&mem, size, &error))
		errx(1, "%s: no memory in it", argv[1]);
	for (i = 0, end = 0; next_region(elf, &i, end, &phdr); i++, end = phdr.p_paddr + phdr.p_memsz) {
		uint64_t done;
		ssize_t n;

		for (done = 0; done < phdr.p_filesz; done += n) {
			n = pread(fd, mem.hva + at + done, phdr.p_filesz - done, (off_t)(phdr.p_offset + done));
			if (n <= 0)
				err(1, "%s", argv[1]);
		}
		at += phdr.p_memsz;
	}
	printf("memory=%016llx\n", (unsigned long long)tt_memory_digest(&mem));
	return 0;
}
