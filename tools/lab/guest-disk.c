// SPDX-License-Identifier: GPL-2.0
/*
 * guest-disk.c - in a guest: 4 KiB requests to a disk, one after the other, past the guest's page cache.
 *
 * usage: guest-disk seqread|seqwrite|randread|randwrite|fsync REQUESTS DEVICE...
 *        guest-disk durable REQUESTS DEVICE
 *
 * seq* goes from the disk's start to its end and around, rand* and fsync to pseudo-random blocks, the same in every run.
 * fsync writes and has each block flushed. What is written is pseudo-random, too, and other in each request.
 *
 * With several disks, each gets all requests, in short turns, so that what else the machine does meanwhile disturbs all of
 * them alike. Prints, with nothing else of its own in between:
 *
 *   disk: begin WORK
 *   disk: end DEVICE requests=N bytes=N seconds=S checksum=HEX (a line for each)
 *
 * S by the guest's monotonic clock. The checksum is of the first bytes of every sector, in the order of the requests; it
 * differs if any of them is another one, or comes from or goes to another place.
 *
 * durable writes one block behind the other, each one only once, and flushes after every fourth. Block N consists of
 * lines "request N", N in seven digits. It goes on after a failure, and says of each block when it is safe, of each
 * failure what it was:
 *
 *   disk: safe N
 *   disk: failed write N: REASON
 *   disk: failed flush: REASON
 *
 * A write that succeeded is safe with the next flush that succeeds, however many have failed in between.
 *
 * Linked statically, for an initrd that has no libraries.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define BLOCK  4096
#define SECTOR 512
#define TURN   50 /* requests */

struct work {
	const char *name;
	bool writes;
	bool random;
	bool flushes;
	bool tells; /* of every block when it is safe */
	uint64_t first; /* of the random numbers that choose blocks: no work follows another's trace */
};

static const struct work works[] = {
	{ .name = "seqread" },
	{ .name = "seqwrite", .writes = true },
	{ .name = "randread", .random = true, .first = 1ull << 32 },
	{ .name = "randwrite", .writes = true, .random = true, .first = 2ull << 32 },
	{ .name = "fsync", .writes = true, .random = true, .flushes = true, .first = 3ull << 32 },
	{ .name = "durable", .writes = true, .flushes = true, .tells = true },
};

struct disk {
	const char *name;
	int fd;
	uint64_t blocks;
	double seconds;
	uint64_t checksum;
};

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): its n-th number. */
static uint64_t random_number(uint64_t n)
{
	uint64_t z = (n + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Each sector of the block gets a start of its own; the rest stays what it is. */
static void stamp(uint8_t *block, uint64_t request)
{
	for (unsigned int i = 0; i < BLOCK; i += SECTOR) {
		uint64_t number = random_number(request * (BLOCK / SECTOR) + i / SECTOR);

		memcpy(block + i, &number, sizeof(number));
	}
}

static uint64_t add_to_checksum(uint64_t checksum, const uint8_t *block, uint64_t where)
{
	for (unsigned int i = 0; i < BLOCK; i += SECTOR) {
		uint64_t start;

		memcpy(&start, block + i, sizeof(start));
		checksum = (checksum ^ start ^ where) * 0x100000001b3;
		checksum ^= checksum >> 29;
	}
	return checksum;
}

/* One request. Returns false when it failed. */
static bool do_request(const struct work *work, struct disk *disk, uint8_t *block, uint64_t n)
{
	uint64_t where = (work->random ? random_number(n + work->first) : n) % disk->blocks;
	off_t offset = (off_t)(where * BLOCK);

	if (work->writes)
		stamp(block, n);
	if ((work->writes ? pwrite(disk->fd, block, BLOCK, offset) : pread(disk->fd, block, BLOCK, offset)) != BLOCK)
		return false;
	if (work->flushes && fdatasync(disk->fd))
		return false;
	disk->checksum = add_to_checksum(disk->checksum, block, where);
	return true;
}

#define GROUP	     4	   /* writes for a flush */
#define MAX_FAILURES 40	   /* flushes in a row; then it gives up */
#define FAILURE_US   50000 /* microseconds until it goes on after a failed one */
#define LINE_SIZE    16	   /* "request 0000123\n" */

/* n < 0: of no block. err 0: no failure. */
static void say(const char *text, int64_t n, int err)
{
	printf("disk: %s", text);
	if (n >= 0)
		printf(" %" PRId64, n);
	if (err)
		printf(": %s", strerror(err));
	printf("\n");
	fflush(stdout);
}

/* Returns how many of the blocks that it tried to write are not safe. */
static uint64_t run_durable(struct disk *disk, uint64_t requests, uint8_t *block)
{
	bool *written = calloc(requests, sizeof(*written)); /* and nobody has said yet that it is safe */
	unsigned int failures = 0;
	uint64_t unsafe = 0, first = 0;
	char line[LINE_SIZE + 1];

	for (uint64_t n = 0; written && n < requests && failures < MAX_FAILURES; n++) {
		snprintf(line, sizeof(line), "request %07u\n", (unsigned int)(n % 10000000));
		for (unsigned int i = 0; i < BLOCK; i += LINE_SIZE)
			memcpy(block + i, line, LINE_SIZE);
		errno = 0; /* stays that when a write is short */
		written[n] = pwrite(disk->fd, block, BLOCK, (off_t)(n * BLOCK)) == BLOCK;
		if (!written[n])
			say("failed write", (int64_t)n, errno);
		unsafe++;
		if ((n + 1) % GROUP && n + 1 < requests)
			continue;
		if (fdatasync(disk->fd)) {
			say("failed flush", -1, errno);
			failures++;
			usleep(FAILURE_US);
			continue;
		}
		failures = 0;
		for (; first <= n; first++)
			if (written[first]) {
				say("safe", (int64_t)first, 0);
				unsafe--;
			}
	}
	free(written);
	return unsafe;
}

static int run_turn(const struct work *work, struct disk *disk, uint8_t *block, uint64_t from, uint64_t to)
{
	double start = seconds();

	for (uint64_t n = from; n < to; n++)
		if (!do_request(work, disk, block, n)) {
			perror(disk->name);
			return 1;
		}
	disk->seconds += seconds() - start;
	return 0;
}

static int run(const struct work *work, struct disk *disks, int num_disks, uint64_t requests)
{
	uint8_t *block;
	int ret = 0;

	if (posix_memalign((void **)&block, BLOCK, BLOCK))
		return 1;
	for (uint64_t i = 0; i < BLOCK / sizeof(uint64_t); i++) {
		uint64_t number = random_number(i);

		memcpy(block + i * sizeof(number), &number, sizeof(number));
	}
	printf("disk: begin %s\n", work->name);
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
	if (work->tells) {
		printf("disk: %" PRIu64 " blocks are not safe\n",
		       run_durable(disks, requests < disks->blocks ? requests : disks->blocks, block));
		free(block);
		return 0;
	}
	for (uint64_t n = 0; n < requests && !ret; n += TURN)
		for (int i = 0; i < num_disks && !ret; i++) {
			/* to and fro: 0 1 1 0 0 1 ... */
			struct disk *disk = &disks[n / TURN % 2 ? num_disks - 1 - i : i];

			ret = run_turn(work, disk, block, n, n + TURN < requests ? n + TURN : requests);
		}
	for (int i = 0; i < num_disks && !ret; i++)
		printf("disk: end %s requests=%" PRIu64 " bytes=%" PRIu64 " seconds=%.6f checksum=%016" PRIx64 "\n",
		       disks[i].name, requests, requests * BLOCK, disks[i].seconds, disks[i].checksum);
	free(block);
	return ret;
}

int main(int argc, char **argv)
{
	const struct work *work = NULL;
	struct disk disks[8] = { { 0 } };
	int num_disks = argc - 3;

	for (size_t i = 0; argc > 3 && i < sizeof(works) / sizeof(works[0]); i++)
		if (!strcmp(argv[1], works[i].name))
			work = &works[i];
	if (!work || num_disks > (work->tells ? 1 : 8)) {
		fprintf(stderr, "usage: guest-disk seqread|seqwrite|randread|randwrite|fsync REQUESTS DEVICE...\n"
				"       guest-disk durable REQUESTS DEVICE\n");
		return 1;
	}
	for (int i = 0; i < num_disks; i++) {
		struct disk *disk = &disks[i];
		off_t size;

		disk->name = argv[3 + i];
		disk->fd = open(disk->name, (work->writes ? O_RDWR : O_RDONLY) | O_DIRECT);
		size = disk->fd < 0 ? -1 : lseek(disk->fd, 0, SEEK_END);
		if (size < BLOCK) {
			perror(disk->name);
			return 1;
		}
		disk->blocks = (uint64_t)size / BLOCK;
	}
	return run(work, disks, num_disks, strtoull(argv[2], NULL, 10));
}
