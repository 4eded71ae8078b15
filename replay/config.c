// SPDX-License-Identifier: GPL-2.0
/*
 * config.c - the machine's configuration as header sections of a log, and back.
 *
 * Everything is in the log that starting the machine again needs: what is small as JSON ("config"), the CPUID table
 * ("cpuid"), and the boot files themselves ("kernel", "initrd").
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>

#include "internal.h"
#include "net.h"

#define FORMAT_NAME "ttvm-machine"
/* Of the machine and of what is compared: a log can be replayed by the same version only. */
#define FORMAT_VERSION 2
#define MAX_VCPUS 64

static void to_hex(const uint8_t *data, size_t len, char *text)
{
	size_t i;

	for (i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", data[i]);
}

static bool from_hex(const char *text, uint8_t *data, size_t len)
{
	size_t i;

	if (!text || strlen(text) != 2 * len)
		return false;
	for (i = 0; i < len; i++) {
		unsigned int byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		data[i] = byte;
	}
	return true;
}

static size_t cpuid_size(const struct kvm_cpuid2 *cpuid)
{
	return sizeof(*cpuid) + cpuid->nent * sizeof(cpuid->entries[0]);
}

void tt_recording_new_id(char id[TT_RECORDING_ID_SIZE])
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		abort(); /* it never fails for so few bytes (getrandom(2)) */
	b[6] = (b[6] & 0x0f) | 0x40; /* RFC 9562, version 4 */
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(id, TT_RECORDING_ID_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
		 b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static json_t *save_disks(const struct tt_machine_config *config, const struct tt_disk_source *disks)
{
	json_t *array = json_array();
	unsigned int i;

	for (i = 0; array && i < config->num_disks; i++)
		json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:I, s:b}",
						       "history", disks[i].history,
						       "departure", disks[i].departure,
						       "serial", disks[i].serial,
						       "sectors", (json_int_t)disks[i].sectors,
						       "readonly", disks[i].readonly));
	return array;
}

static json_t *save_nets(const struct tt_machine_config *config)
{
	json_t *array = json_array();
	char mac[2 * sizeof(config->nets[0]->mac) + 1];
	unsigned int i;

	for (i = 0; array && i < config->num_nets; i++) {
		to_hex(config->nets[i]->mac, sizeof(config->nets[i]->mac), mac);
		json_array_append_new(array, json_pack("{s:s}", "mac", mac));
	}
	return array;
}

static json_t *save_origin(const struct tt_origin *origin)
{
	return origin->id[0] ? json_pack("{s:s, s:I}", "id", origin->id, "instructions", (json_int_t)origin->instructions) :
			       json_null();
}

int tt_config_save(const struct tt_machine_config *config, const char *id, const struct tt_origin *origin,
		   const struct tt_disk_source *disks, struct tt_log_section *sections, char **json,
		   struct tt_error *err)
{
	char seed[2 * sizeof(config->rng_seed) + 1];
	const struct tt_pmu *pmu = tt_pmu_find(NULL);
	struct utsname host;
	json_t *root;
	int n = 0;

	uname(&host);
	to_hex(config->rng_seed, sizeof(config->rng_seed), seed);
	root = json_pack("{s:s, s:i, s:{s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:o, s:o, s:b}, "
			 "s:{s:s, s:o, s:s, s:s, s:s, s:I, s:b}}",
			 "format", FORMAT_NAME, "version", FORMAT_VERSION,
			 "machine",
			 "memory", (json_int_t)config->memory_size,
			 "vcpus", (json_int_t)config->num_vcpus,
			 "tsc_hz", (json_int_t)config->tsc_hz,
			 "wall_clock", (json_int_t)config->wall_clock,
			 "kernel", config->kernel_name ? config->kernel_name : "",
			 "command_line", config->command_line ? config->command_line : "",
			 "rng_seed", seed,
			 "cpu_model", config->cpu_model,
			 "disks", save_disks(config, disks),
			 "nets", save_nets(config),
			 "virtio_console", config->virtio_console,
			 "recording",
			 "id", id,
			 "origin", save_origin(origin),
			 "host_kernel", host.release,
			 "host_cpu", pmu ? pmu->name : "unknown",
			 "ttvm", TTVM_VERSION,
			 "started", (json_int_t)time(NULL),
			 "exact_instructions", pmu && pmu->exact_instructions);
	*json = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	if (!*json)
		return tt_fail(err, -EINVAL, "the command line or the kernel's name is not UTF-8 text");

	sections[n++] = (struct tt_log_section){ TT_LOG_SECTION_CONFIG, *json, strlen(*json) };
	sections[n++] = (struct tt_log_section){ TT_LOG_SECTION_CPUID, config->cpuid,
						 cpuid_size(config->cpuid) };
	if (config->kernel.size)
		sections[n++] = (struct tt_log_section){ TT_LOG_SECTION_KERNEL, config->kernel.data,
							 config->kernel.size };
	if (config->initrd.size)
		sections[n++] = (struct tt_log_section){ TT_LOG_SECTION_INITRD, config->initrd.data,
							 config->initrd.size };
	if (config->firmware.size)
		sections[n++] = (struct tt_log_section){ TT_LOG_SECTION_FIRMWARE, config->firmware.data,
							 config->firmware.size };
	return n;
}

static int bad_header(struct tt_error *err, const char *what)
{
	return tt_fail(err, -EBADMSG, "the log's header is not one that this version can use: %s", what);
}

static int load_machine(json_t *root, struct tt_machine_config *config, struct tt_error *err)
{
	json_int_t version, memory, vcpus, tsc_hz, wall_clock;
	const char *kernel, *command_line, *seed;
	json_error_t problem;

	if (json_unpack_ex(root, &problem, 0, "{s:I}", "version", &version))
		return bad_header(err, problem.text);
	if (version != FORMAT_VERSION)
		return tt_fail(err, -EPROTONOSUPPORT, "the log was recorded on version %lld of the virtual machine, "
			       "this ttvm has version %d; replay it with the ttvm that recorded it (`ttvm info` names it)",
			       (long long)version, FORMAT_VERSION);
	if (json_unpack_ex(root, &problem, 0, "{s:{s:I, s:I, s:I, s:I, s:s, s:s, s:s}}", "machine",
			   "memory", &memory, "vcpus", &vcpus, "tsc_hz", &tsc_hz, "wall_clock",
			   &wall_clock, "kernel", &kernel, "command_line", &command_line,
			   "rng_seed", &seed))
		return bad_header(err, problem.text);
	if (memory <= 0 || memory % 4096 || vcpus < 1 || vcpus > MAX_VCPUS || tsc_hz <= 0)
		return bad_header(err, "impossible memory size, vCPU count or TSC frequency");
	if (!from_hex(seed, config->rng_seed, sizeof(config->rng_seed)))
		return bad_header(err, "rng_seed");
	config->memory_size = memory;
	config->num_vcpus = vcpus;
	config->tsc_hz = tsc_hz;
	config->wall_clock = wall_clock;
	return 0;
}

/* A string of bounded length. */
static bool copy_text(char *to, size_t size, const char *text)
{
	return (size_t)snprintf(to, size, "%s", text) < size;
}

static int load_disks(json_t *array, struct tt_machine_config *config, struct tt_disk_source *disks,
		      struct tt_error *err)
{
	const char *history, *departure, *serial;
	json_error_t problem;
	json_int_t sectors;
	json_t *entry;
	int readonly;
	size_t i;

	if (json_array_size(array) > TT_MAX_DISKS)
		return bad_header(err, "too many disks");
	json_array_foreach(array, i, entry) {
		if (json_unpack_ex(entry, &problem, 0, "{s:s, s:s, s:s, s:I, s:b}", "history", &history,
				   "departure", &departure, "serial", &serial, "sectors", &sectors,
				   "readonly", &readonly))
			return bad_header(err, problem.text);
		if (!copy_text(disks[i].history, sizeof(disks[i].history), history) ||
		    !copy_text(disks[i].departure, sizeof(disks[i].departure), departure) ||
		    !copy_text(disks[i].serial, sizeof(disks[i].serial), serial) || sectors < 0)
			return bad_header(err, "a disk");
		disks[i].sectors = sectors;
		disks[i].readonly = readonly;
	}
	config->num_disks = json_array_size(array);
	return 0;
}

static int load_nets(json_t *array, struct tt_machine_config *config,
		     uint8_t macs[TT_MAX_NETS][6], struct tt_error *err)
{
	json_t *entry;
	size_t i;

	if (json_array_size(array) > TT_MAX_NETS)
		return bad_header(err, "too many network interfaces");
	json_array_foreach(array, i, entry)
		if (!from_hex(json_string_value(json_object_get(entry, "mac")), macs[i], sizeof(macs[i])))
			return bad_header(err, "a MAC address");
	config->num_nets = json_array_size(array);
	return 0;
}

/* What is plugged into the machine. Absent in logs of machines without any of it. */
static int load_devices(json_t *machine, struct tt_machine_config *config,
			struct tt_recording_facts *facts, struct tt_error *err)
{
	int ret = load_disks(json_object_get(machine, "disks"), config, facts->disks, err);

	if (!ret)
		ret = load_nets(json_object_get(machine, "nets"), config, facts->macs, err);
	config->virtio_console = json_is_true(json_object_get(machine, "virtio_console"));
	return ret;
}

static void load_facts(json_t *root, struct tt_recording_facts *facts)
{
	const char *id = "", *kernel = "", *cpu = "", *version = "";
	const char *origin = "";
	json_int_t started = 0, common = 0;
	int exact = 0;

	json_unpack(root, "{s:{s?s, s?s, s?s, s?s, s?I, s?b}}", "recording", "id", &id, "host_kernel", &kernel,
		    "host_cpu", &cpu, "ttvm", &version, "started", &started, "exact_instructions", &exact);
	json_unpack(root, "{s:{s:{s:s, s:I}}}", "recording", "origin", "id", &origin, "instructions", &common);
	snprintf(facts->id, sizeof(facts->id), "%s", id);
	snprintf(facts->origin.id, sizeof(facts->origin.id), "%s", origin);
	facts->origin.instructions = common;
	snprintf(facts->host_kernel, sizeof(facts->host_kernel), "%s", kernel);
	snprintf(facts->host_cpu, sizeof(facts->host_cpu), "%s", cpu);
	snprintf(facts->ttvm_version, sizeof(facts->ttvm_version), "%s", version);
	facts->started = started;
	facts->exact_instructions = exact;
}

/* The strings of the configuration, in one allocation that the caller frees. cpu_model is missing in older logs. */
static int keep_strings(json_t *root, struct tt_machine_config *config, char **strings,
			struct tt_error *err)
{
	const char *kernel, *command_line, *model = "";
	size_t kernel_size, line_size, model_size;

	json_unpack(root, "{s:{s:s, s:s, s?s}}", "machine", "kernel", &kernel, "command_line", &command_line, "cpu_model",
		    &model);
	kernel_size = strlen(kernel) + 1;
	line_size = strlen(command_line) + 1;
	model_size = strlen(model) + 1;
	*strings = malloc(kernel_size + line_size + model_size);
	if (!*strings)
		return tt_fail(err, -ENOMEM, "out of memory");
	memcpy(*strings, kernel, kernel_size);
	memcpy(*strings + kernel_size, command_line, line_size);
	memcpy(*strings + kernel_size + line_size, model, model_size);
	config->kernel_name = *strings;
	config->command_line = *strings + kernel_size;
	if (model[0])
		config->cpu_model = *strings + kernel_size + line_size;
	return 0;
}

/* A section that need not be there. */
static int load_blob(struct tt_log *log, const char *name, struct tt_blob *blob, struct tt_error *err)
{
	int ret = tt_log_section(log, name, &blob->data, &blob->size, NULL);

	if (ret && ret != -ENOENT)
		return tt_fail(err, ret, "the log's section \"%s\" cannot be read", name);
	return 0;
}

int tt_config_load(struct tt_log *log, struct tt_machine_config *config,
		   struct tt_recording_facts *facts, char **json, struct tt_error *err)
{
	const struct kvm_cpuid2 *cpuid;
	json_error_t problem;
	const void *data;
	json_t *root;
	size_t size;
	int ret;

	memset(config, 0, sizeof(*config));
	ret = tt_log_section(log, TT_LOG_SECTION_CONFIG, &data, &size, err);
	if (ret)
		return ret;
	root = json_loadb(data, size, 0, &problem);
	if (!root)
		return bad_header(err, problem.text);
	ret = load_machine(root, config, err);
	if (!ret)
		ret = load_devices(json_object_get(root, "machine"), config, facts, err);
	if (!ret)
		ret = keep_strings(root, config, json, err);
	load_facts(root, facts);
	json_decref(root);
	if (ret)
		return ret;

	ret = tt_log_section(log, TT_LOG_SECTION_CPUID, &data, &size, err);
	if (ret)
		goto err_free;
	cpuid = data;
	if (size < sizeof(*cpuid) || size != cpuid_size(cpuid)) {
		ret = bad_header(err, "CPUID table");
		goto err_free;
	}
	config->cpuid = cpuid;
	if (!config->cpu_model)
		config->cpu_model = tt_cpuid_guess_model(cpuid);
	ret = load_blob(log, TT_LOG_SECTION_FIRMWARE, &config->firmware, err);
	if (!ret)
		ret = load_blob(log, TT_LOG_SECTION_KERNEL, &config->kernel, err);
	if (!ret)
		ret = load_blob(log, TT_LOG_SECTION_INITRD, &config->initrd, err);
	if (!ret && !config->firmware.size && !config->kernel.size)
		ret = bad_header(err, "neither a kernel nor firmware");
	if (ret)
		goto err_free;
	return 0;

err_free:
	free(*json);
	*json = NULL;
	return ret;
}
