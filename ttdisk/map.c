// SPDX-License-Identifier: GPL-2.0
/*
 * map.c - what holds each sector of a disk: a tree in which every node has eight slots, each for an eighth of its
 * sectors. A slot is empty, or has one value for all its sectors, or points to a node. A node is one cache line, an
 * aligned 4 KiB block is one slot, and so is a discarded terabyte.
 */
#include <stdlib.h>

#include "internal.h"

#define FANOUT_SHIFT 3
#define FANOUT	     (1u << FANOUT_SHIFT)
#define CHUNK_NODES  1023
/* ttd_map_set() makes at most two nodes on each level, at the two ends of the range */
#define RESERVE (2 * 22)

struct map_node {
	union {
		uint64_t slots[FANOUT];
		struct map_node *next; /* of the unused ones */
	};
} __attribute__((aligned(64)));

struct map_chunk {
	struct map_chunk *next;
	struct map_node nodes[CHUNK_NODES];
};

static uint64_t slot_sectors(unsigned int level)
{
	return 1ull << level * FANOUT_SHIFT;
}

static struct map_node *slot_node(uint64_t slot)
{
	return (struct map_node *)(slot & ~63ull);
}

static uint64_t shifted(uint64_t value, uint64_t sectors)
{
	return MAP_KIND(value) == MAP_DATA ? value + sectors * TTDISK_SECTOR : value;
}

void ttd_map_init(struct map *map, uint64_t sectors)
{
	memset(map, 0, sizeof(*map));
	while (map->level < 21 && slot_sectors(map->level) < sectors)
		map->level++;
}

void ttd_map_destroy(struct map *map)
{
	while (map->chunks) {
		struct map_chunk *next = map->chunks->next;

		free(map->chunks);
		map->chunks = next;
	}
	map->unused = NULL;
	map->num_unused = 0;
	map->root = MAP_EMPTY;
}

static void give_back(struct map *map, struct map_node *node)
{
	node->next = map->unused;
	map->unused = node;
	map->num_unused++;
}

static void free_slot(struct map *map, uint64_t slot)
{
	struct map_node *node = slot_node(slot);

	if (MAP_KIND(slot) != MAP_NODE)
		return;
	for (unsigned int i = 0; i < FANOUT; i++)
		free_slot(map, node->slots[i]);
	give_back(map, node);
}

void ttd_map_clear(struct map *map)
{
	free_slot(map, map->root);
	map->root = MAP_EMPTY;
}

int ttd_map_prepare(struct map *map)
{
	struct map_chunk *chunk;

	if (map->num_unused >= RESERVE)
		return 0;
	if (posix_memalign((void **)&chunk, sizeof(struct map_node), sizeof(*chunk)))
		return -ENOMEM;
	chunk->next = map->chunks;
	map->chunks = chunk;
	for (unsigned int i = 0; i < CHUNK_NODES; i++)
		give_back(map, &chunk->nodes[i]);
	return 0;
}

/* The slot becomes a node whose slots say the same. */
static struct map_node *split(struct map *map, uint64_t *slot, unsigned int level)
{
	struct map_node *node = map->unused;

	map->unused = node->next;
	map->num_unused--;
	for (unsigned int i = 0; i < FANOUT; i++)
		node->slots[i] = shifted(*slot, i * slot_sectors(level - 1));
	*slot = (uint64_t)node | MAP_NODE;
	return node;
}

static void set(struct map *map, uint64_t *slot, unsigned int level, uint64_t start,
		uint64_t sector, uint64_t end, uint64_t value)
{
	uint64_t size = slot_sectors(level), child = size >> FANOUT_SHIFT;
	struct map_node *node;

	if (sector <= start && start + size <= end) {
		free_slot(map, *slot);
		*slot = shifted(value, start - sector);
		return;
	}
	node = MAP_KIND(*slot) == MAP_NODE ? slot_node(*slot) : split(map, slot, level);
	for (unsigned int i = 0; i < FANOUT; i++, start += child)
		if (start < end && sector < start + child)
			set(map, &node->slots[i], level - 1, start, sector, end, value);
}

void ttd_map_set(struct map *map, uint64_t sector, uint64_t count, uint64_t value)
{
	set(map, &map->root, map->level, 0, sector, sector + count, value);
}

/* The slot that holds sector, and how many sectors from there on are in it. */
static uint64_t find(const struct map *map, uint64_t sector, uint64_t *value)
{
	unsigned int level = map->level;
	uint64_t slot = map->root, within = sector;

	while (MAP_KIND(slot) == MAP_NODE) {
		level--;
		slot = slot_node(slot)->slots[within >> level * FANOUT_SHIFT];
		within &= slot_sectors(level) - 1;
	}
	*value = shifted(slot, within);
	return slot_sectors(level) - within;
}

uint64_t ttd_map_get(const struct map *map, uint64_t sector, uint64_t max, uint64_t *value)
{
	uint64_t count = find(map, sector, value), next;

	while (count < max) {
		uint64_t more = find(map, sector + count, &next);

		if (next != shifted(*value, count))
			break;
		count += more;
	}
	return MIN(count, max);
}
