// SPDX-License-Identifier: GPL-2.0
/*
 * fw_cfg.c - the firmware configuration device at 0x510: the guest writes an item's number to the
 * 16-bit selector, then reads the item byte by byte from the data port. What is not there, and what
 * lies behind an item's end, reads as zeros. Nothing can be written.
 *
 * Files are items, too. The item TT_FW_CFG_FILE_DIR lists them: their number, then for each one its
 * size, the number of its item (all of these big-endian) and its name.
 *
 * The items are part of the machine like its ROM; state is what is selected, and how far it is
 * read.
 */
#include <endian.h>
#include <stdlib.h>

#include "devices.h"
#include "fw_cfg.h"

#define PORT_SELECTOR 0x510
#define PORT_DATA     0x511

#define MAX_FILES 16
#define MAX_ITEMS 24

struct directory_entry {
	uint32_t size;
	uint16_t key;
	uint16_t reserved;
	char name[TT_FW_CFG_NAME_SIZE];
};

struct directory {
	uint32_t count;
	struct directory_entry files[MAX_FILES];
};

_Static_assert(sizeof(struct directory_entry) == 64, "the format of the directory");

struct item {
	uint16_t key;
	uint32_t size;
	uint8_t *data;
};

struct fw_cfg_state {
	uint16_t key;
	uint16_t reserved;
	uint32_t offset;
};

_Static_assert(sizeof(struct fw_cfg_state) == 8, "digest: no padding");

struct tt_fw_cfg {
	struct tt_device dev;
	struct fw_cfg_state state;
	struct item items[MAX_ITEMS];
	unsigned int num_items;
	struct directory directory;
	unsigned int num_files;
};

int tt_fw_cfg_add(struct tt_fw_cfg *fw_cfg, uint16_t key, const void *data, uint32_t size)
{
	struct item *item = &fw_cfg->items[fw_cfg->num_items];

	if (fw_cfg->num_items == MAX_ITEMS)
		return -ENOSPC;
	item->data = malloc(size ? size : 1);
	if (!item->data)
		return -ENOMEM;
	memcpy(item->data, data, size);
	item->key = key;
	item->size = size;
	fw_cfg->num_items++;
	return 0;
}

int tt_fw_cfg_add_file(struct tt_fw_cfg *fw_cfg, const char *name, const void *data, uint32_t size)
{
	struct directory_entry *entry = &fw_cfg->directory.files[fw_cfg->num_files];
	uint16_t key = TT_FW_CFG_FILES + fw_cfg->num_files;
	int ret;

	if (fw_cfg->num_files == MAX_FILES || strlen(name) >= sizeof(entry->name))
		return -ENOSPC;
	ret = tt_fw_cfg_add(fw_cfg, key, data, size);
	if (ret)
		return ret;
	entry->size = htobe32(size);
	entry->key = htobe16(key);
	memcpy(entry->name, name, strlen(name));
	fw_cfg->directory.count = htobe32(++fw_cfg->num_files);
	return 0;
}

static uint8_t read_byte(struct tt_fw_cfg *fw_cfg)
{
	struct fw_cfg_state *s = &fw_cfg->state;
	const uint8_t *data = NULL;
	uint32_t size = 0, at = s->offset;
	unsigned int i;

	if (s->key == TT_FW_CFG_FILE_DIR) {
		data = (const uint8_t *)&fw_cfg->directory;
		size = sizeof(fw_cfg->directory);
	}
	for (i = 0; i < fw_cfg->num_items && !data; i++) {
		if (fw_cfg->items[i].key == s->key) {
			data = fw_cfg->items[i].data;
			size = fw_cfg->items[i].size;
		}
	}
	if (at >= size)
		return 0;
	s->offset++;
	return data[at];
}

static void fw_cfg_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	memset(data, 0xff, len);
	if (addr == PORT_DATA && len == 1)
		tt_io_put(data, 1, read_byte(ctx));
}

static void fw_cfg_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct tt_fw_cfg *fw_cfg = ctx;

	if (addr != PORT_SELECTOR || len != 2)
		return;
	fw_cfg->state.key = tt_io_get(data, len);
	fw_cfg->state.offset = 0;
}

static void fw_cfg_reset(struct tt_device *dev)
{
	struct tt_fw_cfg *fw_cfg = (struct tt_fw_cfg *)dev;

	memset(&fw_cfg->state, 0, sizeof(fw_cfg->state));
}

static void fw_cfg_destroy(struct tt_device *dev)
{
	struct tt_fw_cfg *fw_cfg = (struct tt_fw_cfg *)dev;
	unsigned int i;

	for (i = 0; i < fw_cfg->num_items; i++)
		free(fw_cfg->items[i].data);
	free(fw_cfg);
}

int tt_fw_cfg_create(struct tt_machine *m, struct tt_fw_cfg **created, struct tt_error *err)
{
	struct tt_fw_cfg *fw_cfg = calloc(1, sizeof(*fw_cfg));
	const uint32_t id = htole32(1);
	int ret;

	if (!fw_cfg)
		return tt_fail(err, -ENOMEM, "out of memory");
	fw_cfg->dev = (struct tt_device){
		.name = "fw-cfg",
		.state = &fw_cfg->state,
		.state_size = sizeof(fw_cfg->state),
		.reset = fw_cfg_reset,
		.destroy = fw_cfg_destroy,
	};
	tt_device_add(m, &fw_cfg->dev);
	ret = tt_bus_add_pio(m, PORT_SELECTOR, 2, fw_cfg_read, fw_cfg_write, fw_cfg);
	if (ret)
		return tt_fail(err, ret, "fw-cfg: its ports are taken");
	ret = tt_fw_cfg_add(fw_cfg, TT_FW_CFG_SIGNATURE, "QEMU", 4);
	if (!ret)
		ret = tt_fw_cfg_add(fw_cfg, TT_FW_CFG_ID, &id, sizeof(id));
	if (ret)
		return tt_fail(err, ret, "out of memory");
	*created = fw_cfg;
	return 0;
}
