// SPDX-License-Identifier: GPL-2.0
/*
 * unpack.c - ttvm unpack: a recording out of its pack. What is in the pack may come from anywhere: nothing gets a name outside of the
 * folder, nothing is replaced, and nothing appears before all of it was verified.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "pack.h"

struct unpack {
	const char *pack;
	const char *folder;
	bool json;
	char default_folder[PATH_MAX];
	char growing[PATH_MAX];		/* where the files are until all is verified */
	bool made_folder;
	struct archive_reader *reader;
	struct pack_manifest manifest;
	struct pack_progress progress;
};

enum { OPT_JSON = 256 };

static const struct option long_options[] = {
	{ "directory", required_argument, NULL, 'C' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm unpack PACK [OPTION]...\n\n"
	"Take a recording out of a pack that `ttvm pack` made, on any machine, and verify it.\n\n"
	"  -C, --directory DIR  where its files go; none may be there already (default: a new folder here,\n"
	"                       called like PACK without " PACK_SUFFIX ")\n"
	"      --json           print what was unpacked as JSON\n"
	"  -h, --help           this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 4 damaged or unreadable pack.\n";

static int parse_options(int argc, char **argv, struct unpack *u)
{
	size_t len, suffix = strlen(PACK_SUFFIX);
	const char *name;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "C:h", long_options, NULL)) != -1) {
		switch (c) {
		case 'C':
			u->folder = optarg;
			break;
		case OPT_JSON:
			u->json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			say("`ttvm unpack --help` lists the options");
			return -1;
		}
	}
	if (optind + 1 != argc) {
		say("one pack, please; usage: ttvm unpack PACK [OPTION]...");
		return -1;
	}
	u->pack = argv[optind];
	if (u->folder)
		return 1;
	name = strrchr(u->pack, '/') ? strrchr(u->pack, '/') + 1 : u->pack;
	len = strlen(name);
	if (len <= suffix || strcmp(name + len - suffix, PACK_SUFFIX) || len >= sizeof(u->default_folder)) {
		say("%s: its name does not end in " PACK_SUFFIX "; say where to unpack it: -C DIR", u->pack);
		return -1;
	}
	memcpy(u->default_folder, name, len - suffix);
	u->folder = u->default_folder;
	if (!access(u->folder, F_OK)) {
		say("%s: exists already; say where to unpack: -C DIR", u->folder);
		return -1;
	}
	return 1;
}

/* ------------------------------------------------------------------ the files */

static int read_manifest(struct unpack *u, struct tt_error *err)
{
	char name[ARCHIVE_NAME_SIZE], *text;
	struct tt_error why = { 0 };
	uint64_t size;
	int ret = archive_next(u->reader, name, &size, err);

	if (ret < 0)
		return ret;
	if (!ret || strcmp(name, PACK_MANIFEST) || size > PACK_MANIFEST_MAX)
		return tt_fail(err, -EBADMSG, "%s: not a pack: it does not begin with " PACK_MANIFEST, u->pack);
	text = malloc(size + 1);
	if (!text)
		return tt_fail(err, -ENOMEM, "out of memory");
	ret = archive_read(u->reader, text, size, err);
	if (!ret && pack_manifest_parse(text, size, &u->manifest, &why))
		ret = tt_fail(err, why.code, "%s: %s", u->pack, why.text);
	free(text);
	return ret;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t ret = write(fd, data, len);

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret < 0)
			return -errno;
		data += ret;
		len -= ret;
	}
	return 0;
}

static int take_bytes(struct unpack *u, int fd, const struct pack_file *file, struct tt_error *err)
{
	XXH64_state_t *hash = XXH64_createState();
	void *buffer = malloc(PACK_CHUNK);
	uint64_t left = file->size, before, done, total;
	int ret = hash && buffer ? 0 : tt_fail(err, -ENOMEM, "out of memory");

	if (!ret)
		XXH64_reset(hash, 0);
	while (left && !ret) {
		size_t len = left < PACK_CHUNK ? left : PACK_CHUNK;

		archive_progress(u->reader, &before, &total);
		ret = archive_read(u->reader, buffer, len, err);
		if (ret)
			break;
		XXH64_update(hash, buffer, len);
		ret = write_all(fd, buffer, len);
		if (ret) {
			tt_fail(err, ret, "%s: cannot write there: %s", u->folder, strerror(-ret));
			break;
		}
		archive_progress(u->reader, &done, &total);
		ret = pack_progress_add(&u->progress, done - before);
		left -= len;
	}
	if (!ret && XXH64_digest(hash) != file->xxh64)
		ret = tt_fail(err, -EBADMSG, "%s: damaged: %s in it has another checksum", u->pack, file->name);
	XXH64_freeState(hash);
	free(buffer);
	return ret;
}

static int take_file(struct unpack *u, const struct pack_file *file, struct tt_error *err)
{
	char name[ARCHIVE_NAME_SIZE], path[PATH_MAX];
	uint64_t size;
	int fd, ret = archive_next(u->reader, name, &size, err);

	if (ret < 0)
		return ret;
	if (!ret || strcmp(name, file->name) || size != file->size)
		return tt_fail(err, -EBADMSG, "%s: damaged: %s is not where its manifest says", u->pack, file->name);
	ret = pack_path(u->growing, name, path, err);
	if (ret)
		return ret;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return tt_fail(err, -errno, "%s: cannot create it: %s", path, strerror(errno));
	ret = take_bytes(u, fd, file, err);
	if (!ret && fsync(fd))
		ret = tt_fail(err, -errno, "%s: cannot write it: %s", path, strerror(errno));
	close(fd);
	return ret;
}

/* All or none. */
static int place_files(struct unpack *u, struct tt_error *err)
{
	char from[PATH_MAX], to[PATH_MAX];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < u->manifest.num_files; i++) {
		ret = pack_path(u->growing, u->manifest.files[i].name, from, err);
		if (!ret)
			ret = pack_path(u->folder, u->manifest.files[i].name, to, err);
		if (!ret)
			ret = pack_place(from, to, err);
		if (ret)
			break;
	}
	while (ret && i--)
		if (!pack_path(u->folder, u->manifest.files[i].name, to, NULL))
			unlink(to);
	return ret;
}

static int take_all(struct unpack *u, struct tt_error *err)
{
	char name[ARCHIVE_NAME_SIZE];
	uint64_t size;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < u->manifest.num_files && !ret; i++)
		ret = take_file(u, &u->manifest.files[i], err);
	if (ret)
		return ret;
	ret = archive_next(u->reader, name, &size, err);
	if (ret > 0)
		ret = tt_fail(err, -EBADMSG, "%s: damaged: it has a file that its manifest does not list", u->pack);
	return ret;
}

static int unpack(struct unpack *u, struct tt_error *err)
{
	uint64_t done, total;
	char inside[PATH_MAX];
	int ret = archive_open(u->pack, &u->reader, err);

	if (ret)
		return ret;
	archive_progress(u->reader, &done, &total);
	pack_progress_begin(&u->progress, "unpacked", total);
	ret = read_manifest(u, err);
	if (!ret)
		u->made_folder = !mkdir(u->folder, 0777);
	if (!ret && !u->made_folder && errno != EEXIST)
		ret = tt_fail(err, -errno, "%s: cannot create it: %s", u->folder, strerror(errno));
	if (!ret)
		ret = pack_path(u->folder, "x", inside, err);
	if (!ret)
		ret = pack_folder_create(inside, u->growing, err);
	if (!ret)
		ret = take_all(u, err);
	if (!ret)
		ret = place_files(u, err);
	pack_progress_end(&u->progress);
	pack_folder_remove(u->growing);
	if (ret && u->made_folder)
		rmdir(u->folder);
	return ret;
}

/* ------------------------------------------------------------------ the command */

static int print_json(const struct unpack *u)
{
	json_t *files = json_array(), *root;
	unsigned int i;
	int ret;

	for (i = 0; i < u->manifest.num_files; i++)
		json_array_append_new(files, json_pack("{s:s, s:I}", "name", u->manifest.files[i].name, "bytes",
						       (json_int_t)u->manifest.files[i].size));
	root = json_pack("{s:s, s:s, s:s, s:o}", "directory", u->folder, "recording", u->manifest.id, "log", u->manifest.log,
			 "files", files);
	ret = root ? json_dumpf(root, stdout, JSON_INDENT(1)) : -1;
	json_decref(root);
	if (!ret && putchar('\n') != EOF && !fflush(stdout))
		return EXIT_OK;
	say("the output could not be written: %s", strerror(errno));
	return EXIT_SETUP;
}

int cmd_unpack(int argc, char **argv)
{
	struct unpack *u = calloc(1, sizeof(*u));
	struct tt_error err = { 0 };
	int status, ret;

	if (!u) {
		say("out of memory");
		return EXIT_SETUP;
	}
	status = parse_options(argc, argv, u);
	if (status <= 0) {
		free(u);
		return status ? EXIT_SETUP : EXIT_OK;
	}
	watch_block_signals();
	ret = unpack(u, &err);
	archive_close(u->reader);
	if (ret == -EINTR)
		say("stopped; nothing was unpacked");
	else if (ret)
		say_error(&err);
	else
		say("unpacked files=%u; replay it: ttvm replay %s/%s", u->manifest.num_files, u->folder, u->manifest.log);
	status = ret == -EBADMSG ? EXIT_BAD_LOG : ret ? EXIT_SETUP : EXIT_OK;
	if (!status && u->json)
		status = print_json(u);
	free(u);
	return status;
}
