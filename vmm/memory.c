// SPDX-License-Identifier: GPL-2.0
/*
 * memory.c - guest RAM: the one allocator, and the only way from a guest-physical address to a pointer.
 *
 * RAM is one anonymous mapping. Below TT_RAM_BELOW_4G it appears at the same guest-physical address; what is more is
 * placed at 4 GiB, so that the PCI hole and the interrupt controllers stay free.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "vmm.h"

#define PAGE_SIZE ((uint64_t)TT_PAGE_SIZE)
#define ALIGN_2M (2ull << 20)

/* /proc/self/pagemap: one 64-bit entry per page (Documentation/admin-guide/mm/pagemap.rst) */
#define PAGEMAP_PRESENT_OR_SWAPPED (3ull << 62)
#define PAGEMAP_BATCH 4096

int tt_memory_create(struct tt_memory *mem, uint64_t size, struct tt_error *err)
{
	uint8_t *hva;
	uint64_t slack;

	if (!size || size % PAGE_SIZE)
		return tt_fail(err, -EINVAL, "memory size %llu is not a multiple of 4096 bytes",
			       (unsigned long long)size);
	/* Aligned to 2 MiB, so that host huge pages can back the nested page table. */
	hva = mmap(NULL, size + ALIGN_2M, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (hva == MAP_FAILED)
		return tt_fail(err, -errno, "cannot map %llu MiB for the guest's memory: %s",
			       (unsigned long long)(size >> 20), strerror(errno));
	slack = -(uintptr_t)hva & (ALIGN_2M - 1);
	if (slack)
		munmap(hva, slack);
	if (ALIGN_2M - slack)
		munmap(hva + slack + size, ALIGN_2M - slack);
	mem->hva = hva + slack;
	mem->size = size;
	mem->low_size = size < TT_RAM_BELOW_4G ? size : TT_RAM_BELOW_4G;
	mem->written = NULL;
	mem->guard = NULL;
	madvise(mem->hva, size, MADV_HUGEPAGE);
	madvise(mem->hva, size, MADV_DONTFORK);
	return 0;
}

void tt_memory_destroy(struct tt_memory *mem)
{
	if (mem->hva)
		munmap(mem->hva, mem->size);
	mem->hva = NULL;
	free(mem->written);
	mem->written = NULL;
}

void *tt_memory_at(const struct tt_memory *mem, uint64_t gpa, uint64_t len)
{
	uint64_t high_size = mem->size - mem->low_size;

	if (gpa < mem->low_size)
		return len <= mem->low_size - gpa ? mem->hva + gpa : NULL;
	if (gpa < TT_RAM_ABOVE || gpa - TT_RAM_ABOVE >= high_size)
		return NULL;
	gpa -= TT_RAM_ABOVE;
	return len <= high_size - gpa ? mem->hva + mem->low_size + gpa : NULL;
}

void tt_memory_wrote(const struct tt_memory *mem, const void *at, uint64_t len)
{
	uint64_t first = (const uint8_t *)at - mem->hva, page;

	if (len && mem->guard && mem->guard->device_wrote)
		mem->guard->device_wrote(mem->guard->ctx,
					 first < mem->low_size ? first : TT_RAM_ABOVE + (first - mem->low_size), len);
	if (!mem->written || !len)
		return;
	for (page = first / PAGE_SIZE; page <= (first + len - 1) / PAGE_SIZE; page++)
		mem->written[page / 64] |= 1ull << page % 64;
}

/* pagemap tells pages that were never touched apart without touching them. */
void tt_memory_touched(const struct tt_memory *mem, uint64_t *bits)
{
	uint64_t pages = mem->size / PAGE_SIZE, first = (uintptr_t)mem->hva / PAGE_SIZE, page, n, i;
	uint64_t *map = malloc(PAGEMAP_BATCH * sizeof(*map));
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (page = 0; page < pages; page += n) {
		ssize_t size;

		n = pages - page < PAGEMAP_BATCH ? pages - page : PAGEMAP_BATCH;
		size = n * sizeof(*map);
		if (!map || fd < 0 || pread(fd, map, size, (off_t)((first + page) * sizeof(*map))) != size)
			memset(bits + page / 64, 0xff, (n + 63) / 64 * sizeof(*bits));
		else
			for (i = page; i < page + n; i++)
				if (map[i - page] & PAGEMAP_PRESENT_OR_SWAPPED)
					bits[i / 64] |= 1ull << i % 64;
	}
	if (pages % 64)
		bits[pages / 64] &= (1ull << pages % 64) - 1;
	free(map);
	if (fd >= 0)
		close(fd);
}

/*
 * XXH64 and not XXH3, because both are as fast as memory on a real CPU, and an emulated one takes twelve times as long for
 * XXH3's vector instructions.
 */
uint64_t tt_memory_digest(const struct tt_memory *mem)
{
	static const uint8_t zero[PAGE_SIZE];
	uint64_t words = (mem->size / PAGE_SIZE + 63) / 64, word, number, digest;
	uint64_t *touched = calloc(words, sizeof(*touched));
	XXH64_state_t *xxh = XXH64_createState();

	if (!xxh || !touched)
		abort();
	tt_memory_touched(mem, touched);
	XXH64_reset(xxh, 0);
	for (word = 0; word < words; word++) {
		for (; touched[word]; touched[word] &= touched[word] - 1) {
			const uint8_t *data;

			number = word * 64 + __builtin_ctzll(touched[word]);
			data = mem->hva + number * PAGE_SIZE;
			if (!memcmp(data, zero, PAGE_SIZE))
				continue;
			XXH64_update(xxh, &number, sizeof(number));
			XXH64_update(xxh, data, PAGE_SIZE);
		}
	}
	digest = XXH64_digest(xxh);
	XXH64_freeState(xxh);
	free(touched);
	return digest;
}
