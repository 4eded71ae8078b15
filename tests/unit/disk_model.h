/* SPDX-License-Identifier: GPL-2.0 */
/*
 * disk_model.h - for the tests of ttdisk/: a disk that is known beforehand. It remembers every record, so that it can say
 * what each sector holds after any number of them; the time-travel disk must say the same.
 */
#ifndef TTVM_TEST_DISK_MODEL_H
#define TTVM_TEST_DISK_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../ttdisk/internal.h"

#define MODEL_SECTORS 1500u
#define MODEL_ZERO    UINT32_MAX /* version of a sector that reads as zeroes; 0 is the base */

struct model_op {
	uint32_t sector, count; /* count 0: a record that is no data */
	uint32_t version;
	uint64_t instr, time_ns;
	uint64_t epoch; /* that had ended when it was written, itself included */
};

struct model {
	char folder[64], base[96], path[100];
	struct ttdisk *disk;
	struct model_op *ops; /* ops[n] is record n */
	uint64_t num, max;
	uint32_t versions[MODEL_SECTORS]; /* now */
	uint32_t version;
	uint64_t instr;
	uint64_t seed;
	uint8_t *memory;
};

static inline uint64_t model_random(struct model *m, uint64_t below)
{
	m->seed = m->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (m->seed >> 33) % below;
}

static inline void model_fill(uint8_t *to, uint32_t version, uint64_t sector)
{
	for (uint32_t i = 0; i < TTDISK_SECTOR / 4; i++) {
		uint32_t word = version == MODEL_ZERO
					? 0
					: version * 2654435761u + (uint32_t)sector * 40503u + i;

		memcpy(to + 4 * i, &word, 4);
	}
}

static inline void model_open(struct model *m, bool no_io_uring)
{
	struct ttdisk_options options = { .no_io_uring = no_io_uring };
	struct tt_error err = { 0 };

	if (ttdisk_open(m->path, TTDISK_WRITE, NULL, &options, &m->disk, &err))
		fail_msg("ttdisk_open: %s", err.text);
}

static inline void model_create_over(struct model *m, uint64_t seed)
{
	struct tt_error err = { 0 };
	FILE *base;

	memset(m, 0, sizeof(*m));
	m->seed = seed;
	m->memory = malloc(MODEL_SECTORS * TTDISK_SECTOR);
	strcpy(m->folder, "/tmp/ttdisk-XXXXXX");
	assert_non_null(mkdtemp(m->folder));
	snprintf(m->base, sizeof(m->base), "%s/base", m->folder);
	assert_int_equal(ttdisk_history_path(m->base, m->path, sizeof(m->path)), 0);
	base = fopen(m->base, "w");
	assert_non_null(base);
	for (uint64_t i = 0; i < MODEL_SECTORS; i++) {
		model_fill(m->memory, 0, i);
		assert_int_equal(fwrite(m->memory, TTDISK_SECTOR, 1, base), 1);
	}
	fclose(base);
	if (ttdisk_create(m->path, m->base, NULL, &err))
		fail_msg("ttdisk_create: %s", err.text);
}

static inline void model_create(struct model *m, uint64_t seed)
{
	model_create_over(m, seed);
	model_open(m, seed % 2);
}

static inline void model_close(struct model *m)
{
	assert_int_equal(ttdisk_close(m->disk), 0);
	m->disk = NULL;
}

static inline void model_destroy(struct model *m)
{
	char command[100];

	if (m->disk)
		ttdisk_close(m->disk);
	snprintf(command, sizeof(command), "rm -rf %s", m->folder);
	assert_int_equal(system(command), 0);
	free(m->ops);
	free(m->memory);
}

static inline void model_push(struct model *m, uint32_t sector, uint32_t count, uint32_t version)
{
	struct history *history = m->disk->history;

	if (m->num == m->max) {
		m->max = m->max ? 2 * m->max : 1024;
		m->ops = realloc(m->ops, m->max * sizeof(*m->ops));
		assert_non_null(m->ops);
	}
	m->ops[m->num++] = (struct model_op){
		sector, count, version, history->end.instr, history->end.time_ns, history->end.epoch
	};
	for (uint32_t i = 0; i < count; i++)
		m->versions[sector + i] = version;
}

/* Records that carry no data were added: up to `before` that are still to come. */
static inline void model_catch_up(struct model *m, uint64_t before)
{
	while (m->num + before < m->disk->history->end.number)
		model_push(m, 0, 0, 0);
	assert_int_equal(m->num + before, m->disk->history->end.number);
}

static inline int model_write(struct model *m, uint32_t sector, uint32_t count)
{
	uint32_t records = (count + FORMAT_WRITE_MAX - 1) / FORMAT_WRITE_MAX;
	uint64_t cut = model_random(m, count * TTDISK_SECTOR);
	struct iovec iov[3] = { { m->memory, cut },
				{ m->memory + cut, 0 },
				{ m->memory + cut, count * TTDISK_SECTOR - cut } };
	int ret;

	m->version++;
	m->instr += model_random(m, 3);
	for (uint32_t i = 0; i < count; i++)
		model_fill(m->memory + i * TTDISK_SECTOR, m->version, sector + i);
	ret = ttdisk_write(m->disk, sector, iov, 3, m->instr);
	if (ret)
		return ret;
	model_catch_up(m, records);
	while (count) {
		uint32_t n = MIN(count, FORMAT_WRITE_MAX);

		model_push(m, sector, n, m->version);
		sector += n;
		count -= n;
	}
	return 0;
}

static inline void model_zero(struct model *m, uint32_t sector, uint32_t count, bool discard)
{
	m->instr += model_random(m, 3);
	assert_int_equal(ttdisk_zero(m->disk, sector, count, discard, m->instr), 0);
	model_catch_up(m, 1);
	model_push(m, sector, count, MODEL_ZERO);
}

static inline void model_flush(struct model *m)
{
	assert_int_equal(ttdisk_flush(m->disk, m->instr), 0);
	model_catch_up(m, 0);
}

/* One of the things that a guest does. */
static inline void model_act(struct model *m)
{
	uint32_t sector = (uint32_t)model_random(m, MODEL_SECTORS), count;

	switch (model_random(m, 16)) {
	case 0:
		count = 1 + (uint32_t)model_random(m, MODEL_SECTORS - sector);
		model_zero(m, sector, count, count % 2);
		break;
	case 1:
		count = 1 + (uint32_t)model_random(m, MODEL_SECTORS - sector);
		assert_int_equal(model_write(m, sector, count), 0);
		break;
	case 2:
		model_flush(m);
		break;
	case 3:
	case 4:
		count = 1 + (uint32_t)model_random(m, MIN(20, MODEL_SECTORS - sector));
		assert_int_equal(model_write(m, sector, count), 0);
		break;
	default:
		sector = MIN(sector, MODEL_SECTORS - 8) & ~7u;
		assert_int_equal(model_write(m, sector, 8), 0);
	}
}

/* What each sector holds after n records. */
static inline void model_at(const struct model *m, uint64_t n, uint32_t versions[MODEL_SECTORS])
{
	memset(versions, 0, MODEL_SECTORS * sizeof(*versions));
	assert_true(n <= m->num);
	for (uint64_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < m->ops[i].count; j++)
			versions[m->ops[i].sector + j] = m->ops[i].version;
}

static inline void assert_content(struct model *m, struct ttdisk *disk,
				  const uint32_t versions[MODEL_SECTORS])
{
	uint32_t sector = 0, n;
	uint8_t wanted[TTDISK_SECTOR];

	for (; sector < MODEL_SECTORS; sector += n) {
		struct iovec iov[2];
		int ret;

		n = 1 + (uint32_t)model_random(m, MODEL_SECTORS - sector);
		iov[0] = (struct iovec){ m->memory, 100 };
		iov[1] = (struct iovec){ m->memory + 100, n * TTDISK_SECTOR - 100 };
		ret = ttdisk_read(disk, sector, iov, 2);
		if (ret)
			fail_msg("reading %u sectors at %u: %s", n, sector, strerror(-ret));
		for (uint32_t i = 0; i < n; i++) {
			model_fill(wanted, versions[sector + i], sector + i);
			if (memcmp(wanted, m->memory + i * TTDISK_SECTOR, TTDISK_SECTOR))
				fail_msg("sector %u is not what version %u was", sector + i,
					 versions[sector + i]);
		}
	}
}

/* A disk opened at a point holds what it did after n records. */
static inline void assert_point(struct model *m, const char *path, const struct ttdisk_point *point,
				uint64_t n)
{
	uint32_t versions[MODEL_SECTORS];
	struct tt_error err = { 0 };
	struct ttdisk_info info;
	struct ttdisk *disk;

	if (ttdisk_open(path, TTDISK_READ, point, NULL, &disk, &err))
		fail_msg("ttdisk_open: %s", err.text);
	ttdisk_get_info(disk, &info);
	assert_int_equal(info.point_record, n);
	model_at(m, n, versions);
	assert_content(m, disk, versions);
	assert_int_equal(ttdisk_close(disk), 0);
}

static inline void copy_file(const char *from, const char *to, uint64_t size)
{
	char buffer[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(in >= 0 && out >= 0);
	while (size) {
		ssize_t len = read(in, buffer, MIN(size, sizeof(buffer)));

		if (len <= 0)
			break;
		assert_int_equal(write(out, buffer, (size_t)len), len);
		size -= (uint64_t)len;
	}
	close(in);
	close(out);
}

#endif /* TTVM_TEST_DISK_MODEL_H */
