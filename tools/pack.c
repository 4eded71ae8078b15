// SPDX-License-Identifier: GPL-2.0
/*
 * pack.c - ttvm pack: a recording, whole, in one file.
 *
 * The log has the boot files and everything that came from outside. What it lacks are the disks. Which parts of their images a
 * replay needs is nowhere written down, so the recording is replayed once, and tells; this also shows that it replays.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "pack.h"
#include "replay_log.h"

#define LOG_SUFFIX ".zst"

struct pack {
	const char *log;
	const char *output;
	const char *disks[TT_MAX_DISKS];
	unsigned int num_disks;
	bool whole;
	bool json;
	char default_output[PATH_MAX];
	struct tt_machine_config config;
	struct tt_recording_facts facts;
	struct pack_disk disk[TT_MAX_DISKS];
	char folder[PATH_MAX];		/* where it grows */
	struct pack_manifest manifest;
	struct pack_progress progress;
	uint64_t bytes;			/* of the pack */
};

enum { OPT_WHOLE = 256, OPT_DISK, OPT_JSON };

static const struct option long_options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "whole-disks", no_argument, NULL, OPT_WHOLE },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm pack LOG [OPTION]...\n\n"
	"Put a recording into one file with everything that it needs to be replayed on another machine: the\n"
	"log, its disks' histories, and of their images what it has read, which a replay finds out.\n\n"
	"  -o, --output FILE  the pack, which must not exist (default: like LOG, with " PACK_SUFFIX ")\n"
	"      --whole-disks  take all of the images, so that forks can read any of it; without a replay\n"
	"      --disk FILE    where the recording's first disk (.ttd) is now; again for the second, and so\n"
	"                     on (default: in the folder of the log, or where it was)\n"
	"      --json         print what was packed as JSON\n"
	"  -h, --help         this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 3 divergence, 4 damaged or unreadable log or disk.\n";

static int parse_options(int argc, char **argv, struct pack *p)
{
	size_t len, suffix = strlen(LOG_SUFFIX);
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "o:h", long_options, NULL)) != -1) {
		switch (c) {
		case 'o':
			p->output = optarg;
			break;
		case OPT_WHOLE:
			p->whole = true;
			break;
		case OPT_DISK:
			if (p->num_disks == TT_MAX_DISKS) {
				say("--disk: %d disks at most", TT_MAX_DISKS);
				return -1;
			}
			p->disks[p->num_disks++] = optarg;
			break;
		case OPT_JSON:
			p->json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			say("`ttvm pack --help` lists the options");
			return -1;
		}
	}
	if (optind + 1 != argc) {
		say("one log, please; usage: ttvm pack LOG [OPTION]...");
		return -1;
	}
	p->log = argv[optind];
	len = strlen(p->log);
	if (len > suffix && !strcmp(p->log + len - suffix, LOG_SUFFIX))
		len -= suffix;
	if (snprintf(p->default_output, sizeof(p->default_output), "%.*s" PACK_SUFFIX, (int)len, p->log) >=
	    (int)sizeof(p->default_output)) {
		say("%s: the name is too long", p->log);
		return -1;
	}
	if (!p->output)
		p->output = p->default_output;
	return 1;
}

/* ------------------------------------------------------------------ what is read of the images */

static int note_read(void *ctx, uint64_t sector, uint64_t count)
{
	return disk_ranges_add(ctx, sector * TTDISK_SECTOR, count * TTDISK_SECTOR);
}

static void watch_images(void *ctx, struct tt_machine *m)
{
	struct pack *p = ctx;
	unsigned int i;

	for (i = 0; i < m->config.num_disks; i++)
		tt_disk_watch_image(m->config.disks[i], note_read, &p->disk[i].read);
}

static int find_out(struct pack *p)
{
	const struct replay_options options = {
		.log = p->log,
		.quiet = true,
		.num_disks = p->num_disks,
		.prepare = watch_images,
		.ctx = p,
	};
	struct replay_options replay = options;
	unsigned int i;
	int status;

	memcpy(replay.disks, p->disks, sizeof(replay.disks));
	status = replay_log(&replay);
	for (i = 0; i < p->config.num_disks; i++)
		disk_ranges_sort(&p->disk[i].read);
	return status == EXIT_CRASH ? EXIT_OK : status; /* the guest did, as recorded */
}

/* ------------------------------------------------------------------ writing */

static int copy_log(struct pack *p, struct tt_error *err)
{
	const char *slash = strrchr(p->log, '/'), *name = slash ? slash + 1 : p->log;
	char path[PATH_MAX], *real = realpath(p->log, NULL);
	int ret;

	if (!real)
		return tt_fail(err, -errno, "%s: %s", p->log, strerror(errno));
	if (!archive_name_valid(name) || !strcmp(name, PACK_MANIFEST)) {
		free(real);
		return tt_fail(err, -EINVAL, "%s: cannot be put into a pack: its name has more than %u characters, or odd ones; "
			       "give it another", p->log, ARCHIVE_NAME_SIZE - 1);
	}
	snprintf(p->manifest.log, sizeof(p->manifest.log), "%s", name);
	snprintf(p->manifest.files[0].name, sizeof(p->manifest.files[0].name), "%s", name);
	p->manifest.num_files = 1;
	ret = pack_path(p->folder, name, path, err);
	if (!ret && symlink(real, path))
		ret = tt_fail(err, -errno, "%s: cannot write it: %s", path, strerror(errno));
	free(real);
	return ret;
}

/* Read a file of the folder: to hash it, or into the archive. */
static int pass(struct pack *p, struct pack_file *file, struct archive_writer *writer, struct tt_error *err)
{
	XXH64_state_t *hash = XXH64_createState();
	void *buffer = malloc(PACK_CHUNK);
	char path[PATH_MAX];
	uint64_t size = 0;
	ssize_t len = 1;
	int fd = -1, ret = pack_path(p->folder, file->name, path, err);

	if (!ret && (!hash || !buffer))
		ret = tt_fail(err, -ENOMEM, "out of memory");
	if (!ret) {
		XXH64_reset(hash, 0);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	}
	while (!ret && len) {
		len = read(fd, buffer, PACK_CHUNK);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			ret = tt_fail(err, -errno, "%s: cannot read it: %s", path, strerror(errno));
		else if (writer)
			ret = archive_write(writer, buffer, len, err);
		else
			XXH64_update(hash, buffer, len);
		if (!ret) {
			size += len;
			ret = pack_progress_add(&p->progress, len);
		}
	}
	if (!ret && writer && size != file->size)
		ret = tt_fail(err, -EBUSY, "%s: it changes; pack it when nobody writes to it", p->log);
	if (!ret && !writer) {
		file->size = size;
		file->xxh64 = XXH64_digest(hash);
	}
	if (fd >= 0)
		close(fd);
	XXH64_freeState(hash);
	free(buffer);
	return ret;
}

static int write_archive(struct pack *p, const char *path, struct tt_error *err)
{
	struct archive_writer *writer = NULL;
	char *text = NULL;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < p->manifest.num_files && !ret; i++)
		ret = pass(p, &p->manifest.files[i], NULL, err);
	if (!ret) {
		text = pack_manifest_text(&p->manifest);
		ret = text ? archive_create(path, &writer, err) : tt_fail(err, -ENOMEM, "out of memory, or a name is not UTF-8");
	}
	if (!ret)
		ret = archive_add(writer, PACK_MANIFEST, strlen(text), err);
	if (!ret)
		ret = archive_write(writer, text, strlen(text), err);
	for (i = 0; i < p->manifest.num_files && !ret; i++) {
		ret = archive_add(writer, p->manifest.files[i].name, p->manifest.files[i].size, err);
		if (!ret)
			ret = pass(p, &p->manifest.files[i], writer, err);
	}
	if (!ret)
		ret = archive_finish(writer, &p->bytes, err);
	archive_writer_destroy(writer);
	free(text);
	return ret;
}

static uint64_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_size;
}

static int write_pack(struct pack *p, struct tt_error *err)
{
	uint64_t total = 2 * file_size(p->log);
	char path[PATH_MAX];
	unsigned int i;
	int ret;

	/* Each byte of a disk is copied, hashed and packed. */
	for (i = 0; i < p->config.num_disks; i++)
		total += 3 * (pack_disk_bytes(&p->disk[i]) + file_size(p->disk[i].history));
	ret = pack_folder_create(p->output, p->folder, err);
	if (ret)
		return ret;
	snprintf(p->manifest.id, sizeof(p->manifest.id), "%s", p->facts.id);
	pack_progress_begin(&p->progress, "packed", total);
	ret = copy_log(p, err);
	for (i = 0; i < p->config.num_disks && !ret; i++)
		ret = pack_disk(&p->disk[i], p->folder, &p->manifest, &p->progress, err);
	/* No file of a pack begins with a dot. */
	if (!ret)
		ret = pack_path(p->folder, ".pack", path, err);
	if (!ret)
		ret = write_archive(p, path, err);
	pack_progress_end(&p->progress);
	if (!ret)
		ret = pack_place(path, p->output, err);
	pack_folder_remove(p->folder);
	return ret;
}

/* ------------------------------------------------------------------ the command */

static int print_json(const struct pack *p)
{
	json_t *files = json_array(), *disks = json_array(), *root;
	unsigned int i;
	int ret;

	for (i = 0; i < p->manifest.num_files; i++)
		json_array_append_new(files, json_pack("{s:s, s:I}", "name", p->manifest.files[i].name, "bytes",
						       (json_int_t)p->manifest.files[i].size));
	for (i = 0; i < p->config.num_disks; i++)
		json_array_append_new(disks, json_pack("{s:s, s:I, s:I, s:b}", "history", p->disk[i].name, "bytes",
						       (json_int_t)(p->facts.disks[i].sectors * TTDISK_SECTOR), "image_bytes",
						       (json_int_t)p->disk[i].image_bytes, "whole", p->whole));
	root = json_pack("{s:s, s:I, s:s, s:s, s:o, s:o}", "pack", p->output, "bytes", (json_int_t)p->bytes, "recording",
			 p->manifest.id, "log", p->manifest.log, "files", files, "disks", disks);
	ret = root ? json_dumpf(root, stdout, JSON_INDENT(1)) : -1;
	json_decref(root);
	if (!ret && putchar('\n') != EOF && !fflush(stdout))
		return EXIT_OK;
	say("the output could not be written: %s", strerror(errno));
	return EXIT_SETUP;
}

static bool is_damage(int ret)
{
	return ret == -EBADMSG || ret == -EUCLEAN || ret == -ESTALE || ret == -EIO;
}

/* What the log is, and where its disks are. */
static int look_at(struct pack *p, const struct tt_log_info *info)
{
	char beside[PATH_MAX], path[PATH_MAX];
	const char *folder;
	unsigned int i;

	if (info->being_written) {
		say("%s: is being recorded; pack it when that has ended", p->log);
		return EXIT_SETUP;
	}
	if (info->status == TT_LOG_DAMAGED) {
		say("%s: %s", p->log, info->text);
		return EXIT_BAD_LOG;
	}
	if (p->num_disks > p->config.num_disks) {
		say("the recording has %u disks only", p->config.num_disks);
		return EXIT_SETUP;
	}
	snprintf(path, sizeof(path), "%s", p->log);
	folder = dirname(path);
	for (i = 0; i < p->config.num_disks; i++) {
		struct pack_disk *disk = &p->disk[i];

		disk->source = &p->facts.disks[i];
		disk->recording = p->facts.id;
		disk->whole = p->whole;
		snprintf(disk->history, sizeof(disk->history), "%s",
			 i < p->num_disks ? p->disks[i] : tt_disk_find(disk->source, folder, beside));
	}
	return EXIT_OK;
}

static int pack(struct pack *p)
{
	struct tt_error err = { 0 };
	struct tt_log *log;
	char *strings = NULL;
	int status, ret;

	if (!access(p->output, F_OK)) {
		say("%s: exists already", p->output);
		return EXIT_SETUP;
	}
	if (tt_log_open(p->log, &log, &err)) {
		say_error(&err);
		return err.code == -ENOENT || err.code == -EACCES ? EXIT_SETUP : EXIT_BAD_LOG;
	}
	ret = tt_config_load(log, &p->config, &p->facts, &strings, &err);
	status = ret ? EXIT_BAD_LOG : look_at(p, tt_log_info(log));
	if (ret)
		say_error(&err);
	if (!status && p->config.num_disks && !p->whole)
		status = find_out(p);
	if (!status) {
		ret = write_pack(p, &err);
		if (ret == -EINTR)
			say("stopped; there is no pack");
		else if (ret)
			say_error(&err);
		status = is_damage(ret) ? EXIT_BAD_LOG : ret ? EXIT_SETUP : EXIT_OK;
	}
	free(strings);
	tt_log_close(log);
	return status;
}

int cmd_pack(int argc, char **argv)
{
	struct pack *p = calloc(1, sizeof(*p));
	uint64_t image = 0;
	unsigned int i;
	int status;

	if (!p) {
		say("out of memory");
		return EXIT_SETUP;
	}
	status = parse_options(argc, argv, p);
	if (status <= 0) {
		free(p);
		return status ? EXIT_SETUP : EXIT_OK;
	}
	watch_block_signals();
	status = pack(p);
	for (i = 0; i < TT_MAX_DISKS; i++) {
		image += p->disk[i].image_bytes;
		disk_ranges_free(&p->disk[i].read);
	}
	if (!status)
		say("packed files=%u bytes=%llu image-bytes=%llu to %s", p->manifest.num_files, (unsigned long long)p->bytes,
		    (unsigned long long)image, p->output);
	if (!status && p->json)
		status = print_json(p);
	free(p);
	return status;
}
