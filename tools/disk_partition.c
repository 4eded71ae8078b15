// SPDX-License-Identifier: GPL-2.0
/*
 * disk_partition.c - the partition tables of a PC: MBR with logical partitions, and GPT ("GUID Partition Table Disk
 * Layout" in the UEFI specification), with sectors of 512 bytes, the only ones that our disks have.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "disk_source.h"

#define MBR_ENTRIES	446
#define MBR_SIGNATURE	510
#define TYPE_EXTENDED	0x05
#define TYPE_EXTENDED_LBA 0x0f
#define TYPE_EXTENDED_LINUX 0x85
#define TYPE_GPT	0xee
#define FIRST_LOGICAL	5

#define GPT_HEADER_SIZE	92
#define GPT_ENTRY_SIZE	128
#define GPT_MAX_ENTRIES	1024	/* Linux makes 128; a checksum over more is not worth computing */

struct mbr_entry {
	uint8_t status;
	uint8_t first_chs[3];
	uint8_t type;
	uint8_t last_chs[3];
	uint32_t first;
	uint32_t count;
} __attribute__((packed));

struct gpt_header {
	char signature[8];
	uint32_t revision;
	uint32_t header_size;
	uint32_t header_crc;
	uint32_t reserved;
	uint64_t this_sector;
	uint64_t other_sector;
	uint64_t first_usable;
	uint64_t last_usable;
	uint8_t guid[16];
	uint64_t entries_sector;
	uint32_t num_entries;
	uint32_t entry_size;
	uint32_t entries_crc;
} __attribute__((packed));

struct gpt_entry {
	uint8_t type[16];
	uint8_t guid[16];
	uint64_t first;
	uint64_t last;
} __attribute__((packed));

static void add(const struct disk_source *disk, struct disk_partitions *table, unsigned int number, uint64_t first,
		uint64_t count)
{
	uint64_t sectors = disk->size / DISK_SECTOR;

	if (!count || !first || first >= sectors || count > sectors - first || table->count == DISK_MAX_PARTITIONS)
		return;
	table->partition[table->count++] =
		(struct disk_partition){ number, first * DISK_SECTOR, count * DISK_SECTOR };
}

static bool is_extended(uint8_t type)
{
	return type == TYPE_EXTENDED || type == TYPE_EXTENDED_LBA || type == TYPE_EXTENDED_LINUX;
}

static bool has_signature(const uint8_t *sector)
{
	return sector[MBR_SIGNATURE] == 0x55 && sector[MBR_SIGNATURE + 1] == 0xaa;
}

/*
 * A chain of tables: the first entry of each is a logical partition, relative to that table, the second the next table,
 * relative to the extended partition.
 */
static int read_logical(const struct disk_source *disk, struct disk_partitions *table, uint64_t extended)
{
	uint64_t here = extended;
	unsigned int number;

	for (number = FIRST_LOGICAL; number < FIRST_LOGICAL + DISK_MAX_PARTITIONS; number++) {
		uint8_t sector[DISK_SECTOR];
		struct mbr_entry entry[2];
		int ret = disk_source_read(disk, here * DISK_SECTOR, sector, sizeof(sector));

		if (ret)
			return ret == -ERANGE ? 0 : ret;
		if (!has_signature(sector))
			return 0;
		memcpy(entry, sector + MBR_ENTRIES, sizeof(entry));
		if (entry[0].type)
			add(disk, table, number, here + le32toh(entry[0].first), le32toh(entry[0].count));
		if (!is_extended(entry[1].type) || !entry[1].first)
			return 0;
		here = extended + le32toh(entry[1].first);
	}
	return 0;
}

static int read_gpt_at(const struct disk_source *disk, uint64_t at, struct disk_partitions *table)
{
	static const uint8_t unused[16];
	uint8_t buffer[GPT_ENTRY_SIZE], sector[DISK_SECTOR];
	struct gpt_header h;
	uint32_t crc, i, size;
	int pass, ret;

	ret = disk_source_read(disk, at, sector, sizeof(sector));
	if (ret)
		return ret;
	memcpy(&h, sector, sizeof(h));
	if (memcmp(h.signature, "EFI PART", 8) || le64toh(h.this_sector) != at / DISK_SECTOR)
		return -ENOENT;
	size = le32toh(h.header_size);
	if (size < GPT_HEADER_SIZE || size > DISK_SECTOR)
		return -ENOENT;
	memset(sector + offsetof(struct gpt_header, header_crc), 0, sizeof(h.header_crc));
	if (crc32(0, sector, size) != le32toh(h.header_crc))
		return -ENOENT;
	size = le32toh(h.entry_size);
	if (size != GPT_ENTRY_SIZE || le32toh(h.num_entries) > GPT_MAX_ENTRIES ||
	    le64toh(h.entries_sector) > disk->size / DISK_SECTOR)
		return -ENOENT;

	/* All of it is checked before any of it is used. */
	for (pass = 0; pass < 2; pass++) {
		crc = 0;
		for (i = 0; i < le32toh(h.num_entries); i++) {
			struct gpt_entry e;

			ret = disk_source_read(disk, le64toh(h.entries_sector) * DISK_SECTOR + (uint64_t)i * size,
					       buffer, size);
			if (ret)
				return ret == -ERANGE ? -ENOENT : ret;
			crc = crc32(crc, buffer, size);
			memcpy(&e, buffer, sizeof(e));
			if (pass && memcmp(e.type, unused, sizeof(unused)) && le64toh(e.last) >= le64toh(e.first))
				add(disk, table, i + 1, le64toh(e.first), le64toh(e.last) - le64toh(e.first) + 1);
		}
		if (crc != le32toh(h.entries_crc))
			return -ENOENT;
	}
	return 0;
}

static int read_gpt(const struct disk_source *disk, struct disk_partitions *table)
{
	int ret = read_gpt_at(disk, DISK_SECTOR, table);

	/* The spare copy is at the end. */
	if (ret == -ENOENT)
		ret = read_gpt_at(disk, (disk->size / DISK_SECTOR - 1) * DISK_SECTOR, table);
	if (!ret)
		table->table = "gpt";
	return ret;
}

/* Boot sectors of file systems end in the same two bytes, and have code where the entries would be. */
static bool is_table(const struct disk_source *disk, const struct mbr_entry entry[4])
{
	uint64_t sectors = disk->size / DISK_SECTOR;
	bool any = false;
	int i;

	for (i = 0; i < 4; i++) {
		if (entry[i].status & 0x7f)
			return false;
		if (!entry[i].type)
			continue;
		if (!entry[i].count || !entry[i].first || le32toh(entry[i].first) >= sectors)
			return false;
		any = true;
	}
	return any;
}

int disk_partitions_read(const struct disk_source *disk, struct disk_partitions *table)
{
	uint8_t sector[DISK_SECTOR];
	struct mbr_entry entry[4];
	int i, ret;

	memset(table, 0, sizeof(*table));
	table->table = "none";
	if (disk->size < DISK_SECTOR)
		return 0;
	ret = disk_source_read(disk, 0, sector, sizeof(sector));
	if (ret)
		return ret;
	memcpy(entry, sector + MBR_ENTRIES, sizeof(entry));
	if (has_signature(sector) && is_table(disk, entry)) {
		for (i = 0; i < 4; i++) {
			if (entry[i].type != TYPE_GPT)
				continue;
			ret = read_gpt(disk, table);
			if (ret != -ENOENT)
				return ret;
		}
		table->table = "mbr";
		for (i = 0; i < 4; i++)
			if (entry[i].type && !is_extended(entry[i].type) && entry[i].type != TYPE_GPT)
				add(disk, table, i + 1, le32toh(entry[i].first), le32toh(entry[i].count));
		for (i = 0; i < 4; i++)
			if (is_extended(entry[i].type))
				return read_logical(disk, table, le32toh(entry[i].first));
		return 0;
	}
	table->count = 1;
	table->partition[0] = (struct disk_partition){ .size = disk->size };
	return 0;
}

const struct disk_partition *disk_partition_find(const struct disk_partitions *table, unsigned int number)
{
	unsigned int i;

	for (i = 0; i < table->count; i++)
		if (table->partition[i].number == number)
			return &table->partition[i];
	return NULL;
}
