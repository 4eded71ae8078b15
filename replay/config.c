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
#include <sys/utsname.h>
#include <time.h>

#include "internal.h"

#define FORMAT_NAME "ttvm-machine"
#define FORMAT_VERSION 1
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

int tt_config_save(const struct tt_machine_config *config, struct tt_log_section *sections, char **json,
		   struct tt_error *err)
{
	char seed[2 * sizeof(config->rng_seed) + 1];
	const struct tt_pmu *pmu = tt_pmu_find(NULL);
	struct utsname host;
	json_t *root;
	int n = 0;

	uname(&host);
	to_hex(config->rng_seed, sizeof(config->rng_seed), seed);
	root = json_pack("{s:s, s:i, s:{s:I, s:I, s:I, s:I, s:s, s:s, s:s}, s:{s:s, s:s, s:s, s:I, s:b}}",
			 "format", FORMAT_NAME, "version", FORMAT_VERSION,
			 "machine",
			 "memory", (json_int_t)config->memory_size,
			 "vcpus", (json_int_t)config->num_vcpus,
			 "tsc_hz", (json_int_t)config->tsc_hz,
			 "wall_clock", (json_int_t)config->wall_clock,
			 "kernel", config->kernel_name ? config->kernel_name : "",
			 "command_line", config->command_line ? config->command_line : "",
			 "rng_seed", seed,
			 "recording",
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
	sections[n++] = (struct tt_log_section){ TT_LOG_SECTION_KERNEL, config->kernel.data,
						 config->kernel.size };
	if (config->initrd.size)
		sections[n++] = (struct tt_log_section){ TT_LOG_SECTION_INITRD, config->initrd.data,
							 config->initrd.size };
	return n;
}

static int bad_header(struct tt_error *err, const char *what)
{
	return tt_fail(err, -EBADMSG, "the log's header is not one that this version can use: %s", what);
}

static int load_machine(json_t *root, struct tt_machine_config *config, struct tt_error *err)
{
	json_int_t memory, vcpus, tsc_hz, wall_clock;
	const char *kernel, *command_line, *seed;
	json_error_t problem;

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

static void load_facts(json_t *root, struct tt_recording_facts *facts)
{
	const char *kernel = "", *cpu = "", *version = "";
	json_int_t started = 0;
	int exact = 0;

	json_unpack(root, "{s:{s?s, s?s, s?s, s?I, s?b}}", "recording", "host_kernel", &kernel, "host_cpu",
		    &cpu, "ttvm", &version, "started", &started, "exact_instructions", &exact);
	snprintf(facts->host_kernel, sizeof(facts->host_kernel), "%s", kernel);
	snprintf(facts->host_cpu, sizeof(facts->host_cpu), "%s", cpu);
	snprintf(facts->ttvm_version, sizeof(facts->ttvm_version), "%s", version);
	facts->started = started;
	facts->exact_instructions = exact;
}

/* The two strings of the configuration, in one allocation that the caller frees. */
static int keep_strings(json_t *root, struct tt_machine_config *config, char **strings,
			struct tt_error *err)
{
	const char *kernel, *command_line;
	size_t kernel_size, line_size;

	json_unpack(root, "{s:{s:s, s:s}}", "machine", "kernel", &kernel, "command_line",
		    &command_line);
	kernel_size = strlen(kernel) + 1;
	line_size = strlen(command_line) + 1;
	*strings = malloc(kernel_size + line_size);
	if (!*strings)
		return tt_fail(err, -ENOMEM, "out of memory");
	memcpy(*strings, kernel, kernel_size);
	memcpy(*strings + kernel_size, command_line, line_size);
	config->kernel_name = *strings;
	config->command_line = *strings + kernel_size;
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
	ret = tt_log_section(log, TT_LOG_SECTION_KERNEL, &config->kernel.data, &config->kernel.size, err);
	if (ret)
		goto err_free;
	ret = tt_log_section(log, TT_LOG_SECTION_INITRD, &config->initrd.data, &config->initrd.size,
			     NULL);
	if (ret && ret != -ENOENT) {
		tt_fail(err, ret, "the log's initrd cannot be read");
		goto err_free;
	}
	return 0;

err_free:
	free(*json);
	*json = NULL;
	return ret;
}
