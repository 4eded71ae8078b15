// SPDX-License-Identifier: GPL-2.0
/*
 * pack_manifest.c - what a pack says of itself.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "pack.h"

#define FORMAT_NAME "ttvm-pack"
#define FORMAT_VERSION 1

char *pack_manifest_text(const struct pack_manifest *manifest)
{
	json_t *files = json_array(), *root;
	char hash[17], *text;
	unsigned int i;

	for (i = 0; files && i < manifest->num_files; i++) {
		const struct pack_file *file = &manifest->files[i];

		snprintf(hash, sizeof(hash), "%016" PRIx64, file->xxh64);
		json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "name", file->name, "size",
						       (json_int_t)file->size, "xxh64", hash));
	}
	root = json_pack("{s:s, s:i, s:s, s:s, s:s, s:o}", "format", FORMAT_NAME, "version", FORMAT_VERSION, "ttvm",
			 TTVM_VERSION, "id", manifest->id, "log", manifest->log, "files", files);
	text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	return text;
}

static int bad(struct tt_error *err, const char *what)
{
	return tt_fail(err, -EBADMSG, "its manifest makes no sense: %s", what);
}

static int parse_file(const json_t *entry, struct pack_manifest *manifest, struct tt_error *err)
{
	struct pack_file *file = &manifest->files[manifest->num_files];
	const char *name, *hash;
	json_int_t size;
	int end = 0;

	if (json_unpack((json_t *)entry, "{s:s, s:I, s:s}", "name", &name, "size", &size, "xxh64", &hash))
		return bad(err, "a file");
	if (!archive_name_valid(name) || !strcmp(name, PACK_MANIFEST) || pack_find(manifest, name) || size < 0 ||
	    sscanf(hash, "%16" SCNx64 "%n", &file->xxh64, &end) != 1 || end != 16 || hash[16])
		return bad(err, "a file");
	snprintf(file->name, sizeof(file->name), "%s", name);
	file->size = size;
	manifest->num_files++;
	return 0;
}

int pack_manifest_parse(const char *text, size_t len, struct pack_manifest *manifest, struct tt_error *err)
{
	json_t *root = json_loadb(text, len, 0, NULL), *files, *entry;
	const char *format = "", *id = "", *log = "";
	int version, ret = 0;
	size_t i;

	memset(manifest, 0, sizeof(*manifest));
	if (json_unpack(root, "{s:s, s:i}", "format", &format, "version", &version) || strcmp(format, FORMAT_NAME))
		ret = bad(err, "it is not one");
	else if (version != FORMAT_VERSION)
		ret = tt_fail(err, -EBADMSG, "it was made by another version of ttvm; this one knows version %d of the "
			      "format", FORMAT_VERSION);
	else if (json_unpack(root, "{s:s, s:s, s:o}", "id", &id, "log", &log, "files", &files) ||
		 !json_is_array(files) || json_array_size(files) > PACK_MAX_FILES)
		ret = bad(err, "fields are missing");
	for (i = 0; !ret && i < json_array_size(files); i++) {
		entry = json_array_get(files, i);
		ret = parse_file(entry, manifest, err);
	}
	if (!ret && !pack_find(manifest, log))
		ret = bad(err, "the log is not among the files");
	if (!ret) {
		snprintf(manifest->id, sizeof(manifest->id), "%s", id);
		snprintf(manifest->log, sizeof(manifest->log), "%s", log);
	}
	json_decref(root);
	return ret;
}

const struct pack_file *pack_find(const struct pack_manifest *manifest, const char *name)
{
	unsigned int i;

	for (i = 0; i < manifest->num_files; i++)
		if (!strcmp(manifest->files[i].name, name))
			return &manifest->files[i];
	return NULL;
}
