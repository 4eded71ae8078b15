// SPDX-License-Identifier: GPL-2.0
/*
 * paging.c - a window of address space with 4 KiB pages of its own.
 */
#include "guest.h"

extern volatile uint64_t page_directories[];

volatile uint64_t window_table[WINDOW_PAGES] __attribute__((aligned(4096)));

void window_create(void)
{
	page_directories[WINDOW >> 21] = (uintptr_t)window_table | PTE_PRESENT | PTE_WRITE;
	invlpg(WINDOW);
}
