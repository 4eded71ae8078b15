// SPDX-License-Identifier: GPL-2.0
/*
 * virtio_blk.c - a disk (virtio 1.2, section 5.2): reads, writes, flush, discard, write zeroes.
 *
 * A request is complete when the exit that notified of it returns. The disk reads into guest memory
 * and writes from it directly. What a failed request leaves there does not depend on how far the
 * disk got: a read leaves zeroes, so that a replay, which repeats the failure without asking the
 * disk, leaves the same.
 */
#include <string.h>

#include "disk.h"
#include "virtio.h"

#define F_SEG_MAX      (1ull << 2)
#define F_RO	       (1ull << 5)
#define F_BLK_SIZE     (1ull << 6)
#define F_FLUSH	       (1ull << 9)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

enum {
	TYPE_IN = 0,
	TYPE_OUT = 1,
	TYPE_FLUSH = 4,
	TYPE_GET_ID = 8,
	TYPE_DISCARD = 11,
	TYPE_WRITE_ZEROES = 13,
};

enum { STATUS_OK, STATUS_IOERR, STATUS_UNSUPPORTED };

#define ID_SIZE	    20
#define MAX_RANGES  16
#define MAX_SECTORS (1u << 22) /* of a range: 2 GiB */
#define RANGE_UNMAP 1u

struct header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

/* What discard and write zeroes are about. */
struct range {
	uint64_t sector;
	uint32_t count;
	uint32_t flags;
};

struct blk_config {
	uint64_t capacity; /* sectors */
	uint32_t size_max;
	uint32_t seg_max;
	uint8_t geometry[4];
	uint32_t blk_size;
	uint8_t topology[8];
	uint8_t writeback;
	uint8_t unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors;
	uint32_t max_discard_seg;
	uint32_t discard_sector_alignment;
	uint32_t max_write_zeroes_sectors;
	uint32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 16 && sizeof(struct range) == 16, "virtio 5.2.6");
_Static_assert(sizeof(struct blk_config) == 60, "virtio 5.2.4");

struct request {
	struct tt_disk *disk;
	uint32_t type;
	uint64_t sector;
	uint64_t instr;
	const struct tt_buffers *data;
	struct range range;
};

/* ------------------------------------------------------------------ on the disk */

/* The part that may fail in the outside world. */
static int perform(void *ctx)
{
	const struct request *r = ctx;
	const struct tt_disk_ops *ops = r->disk->ops;

	switch (r->type) {
	case TYPE_IN:
		return ops->read(r->disk, r->sector, r->data->iov, r->data->count);
	case TYPE_OUT:
		return ops->write(r->disk, r->sector, r->data->iov, r->data->count, r->instr);
	case TYPE_FLUSH:
		return ops->flush(r->disk, r->instr);
	default:
		return ops->zero(r->disk, r->range.sector, r->range.count,
				 r->type == TYPE_DISCARD || (r->range.flags & RANGE_UNMAP), r->instr);
	}
}

static void tell(const struct tt_machine *m, const struct request *r, bool failed)
{
	struct tt_disk_request request = { .what = "flush", .failed = failed };

	if (!m->disk_tap)
		return;
	while (m->config.disks[request.index] != r->disk)
		request.index++;
	if (r->type == TYPE_IN || r->type == TYPE_OUT) {
		request.what = r->type == TYPE_IN ? "read" : "write";
		request.sector = r->sector;
		request.sectors = r->data->len / TT_SECTOR_SIZE;
		request.iov = r->data->iov;
		request.iovcnt = r->data->count;
	} else if (r->type != TYPE_FLUSH) {
		request.what = r->type == TYPE_DISCARD ? "discard" : "zero";
		request.sector = r->range.sector;
		request.sectors = r->range.count;
	}
	m->disk_tap(m->disk_tap_ctx, &request);
}

static uint8_t attempt(struct tt_virtio *v, struct request *r)
{
	struct tt_machine *m = v->machine;
	const struct tt_seam_ops *seam = m->seam->ops;
	bool failed;

	r->instr = seam->instructions(m->seam, m->current);
	failed = seam->attempt(m->seam, m->current, perform, r);
	tell(m, r, failed);
	return failed ? STATUS_IOERR : STATUS_OK;
}

/* ------------------------------------------------------------------ requests */

static bool is_on_disk(const struct tt_disk *disk, uint64_t sector, uint64_t count)
{
	return sector <= disk->sectors && count <= disk->sectors - sector;
}

/* data is what is to be read or written. */
static uint8_t transfer(struct tt_virtio *v, struct request *r, const struct tt_buffers *data)
{
	uint8_t status;

	if (!data->len || data->len % TT_SECTOR_SIZE ||
	    !is_on_disk(r->disk, r->sector, data->len / TT_SECTOR_SIZE))
		return STATUS_IOERR;
	if (r->type == TYPE_OUT && r->disk->readonly)
		return STATUS_IOERR;
	r->data = data;
	status = attempt(v, r);
	if (status != STATUS_OK && r->type == TYPE_IN)
		tt_buffers_zero(data);
	return status;
}

/* Each range is an attempt of its own: when a later one fails, a replay has to do those before it. */
static uint8_t zero(struct tt_virtio *v, struct request *r, struct tt_buffers *from)
{
	uint32_t allowed = r->type == TYPE_WRITE_ZEROES ? RANGE_UNMAP : 0;
	struct range ranges[MAX_RANGES];
	uint8_t status = STATUS_OK;
	unsigned int i, n;

	if (!from->len || from->len % sizeof(struct range) || from->len > sizeof(ranges) ||
	    r->disk->readonly)
		return STATUS_IOERR;
	n = tt_buffers_read(from, ranges, sizeof(ranges)) / sizeof(struct range);
	for (i = 0; i < n; i++) {
		if (ranges[i].flags & ~allowed)
			return STATUS_UNSUPPORTED;
		if (ranges[i].count > MAX_SECTORS ||
		    !is_on_disk(r->disk, ranges[i].sector, ranges[i].count))
			return STATUS_IOERR;
	}
	for (i = 0; i < n && status == STATUS_OK; i++) {
		r->range = ranges[i];
		status = attempt(v, r);
	}
	return status;
}

static uint8_t get_id(const struct tt_virtio *v, const struct tt_disk *disk, struct tt_buffers *to)
{
	const char *text = disk->serial[0] ? disk->serial : v->name;
	char id[ID_SIZE] = { 0 };

	memcpy(id, text, strnlen(text, sizeof(id)));
	tt_buffers_write(to, id, sizeof(id));
	return STATUS_OK;
}

/* chain is what stands between header and status. */
static uint8_t serve(struct tt_virtio *v, const struct header *header,
		     struct tt_virtio_chain *chain)
{
	struct request r = { .disk = v->backend, .type = header->type, .sector = header->sector };

	switch (header->type) {
	case TYPE_IN:
		return transfer(v, &r, &chain->writable);
	case TYPE_OUT:
		return transfer(v, &r, &chain->readable);
	case TYPE_FLUSH:
		return r.disk->readonly ? STATUS_OK : attempt(v, &r);
	case TYPE_GET_ID:
		return get_id(v, r.disk, &chain->writable);
	case TYPE_DISCARD:
	case TYPE_WRITE_ZEROES:
		return zero(v, &r, &chain->readable);
	default:
		return STATUS_UNSUPPORTED;
	}
}

static ssize_t serve_chain(struct tt_virtio *v, struct tt_virtio_chain *chain)
{
	uint8_t *status = tt_buffers_last(&chain->writable);
	size_t room = chain->writable.len;
	struct header header;

	if (tt_buffers_read(&chain->readable, &header, sizeof(header)) < sizeof(header)) {
		tt_virtio_break(v, "a request has no header");
		return -EINVAL;
	}
	if (!status) {
		tt_virtio_break(v, "a request has no room for its status");
		return -EINVAL;
	}
	*status = serve(v, &header, chain);
	return (header.type == TYPE_IN ? room : 0) + 1;
}

static void blk_notify(struct tt_virtio *v, unsigned int queue)
{
	tt_virtio_serve(v, queue, serve_chain);
}

static int create_disk(struct tt_machine *m, unsigned int index, struct tt_error *err)
{
	static const struct tt_virtio_class class = {
		.id = 2,
		.pci_class = 0x018000, /* mass storage */
		.num_queues = 1,
		.notify = blk_notify,
	};
	struct tt_disk *disk = m->config.disks[index];
	const struct blk_config config = {
		.capacity = disk->sectors,
		.seg_max = TT_VIRTIO_QUEUE_SIZE - 2, /* header and status */
		.blk_size = TT_SECTOR_SIZE,
		.num_queues = 1,
		.max_discard_sectors = MAX_SECTORS,
		.max_discard_seg = MAX_RANGES,
		.discard_sector_alignment = 1,
		.max_write_zeroes_sectors = MAX_SECTORS,
		.max_write_zeroes_seg = MAX_RANGES,
		.write_zeroes_may_unmap = 1,
	};
	struct tt_virtio_options options = {
		.slot = TT_VIRTIO_SLOT_BLK + index,
		.features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH |
			    (disk->readonly ? F_RO : F_DISCARD | F_WRITE_ZEROES),
		.config = &config,
		.config_size = sizeof(config),
		.backend = disk,
	};
	struct tt_virtio *v;

	snprintf(options.name, sizeof(options.name), "virtio-blk%u", index);
	return tt_virtio_create(m, &class, &options, &v, err);
}

int tt_virtio_blk_create(struct tt_machine *m, struct tt_error *err)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < m->config.num_disks && !ret; i++)
		ret = create_disk(m, i, err);
	return ret;
}
