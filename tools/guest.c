// SPDX-License-Identifier: GPL-2.0
/*
 * guest.c - the machine that the user asked for: kernel or firmware, disks, networks, CPU.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "guest.h"
#include "image.h"
#include "net.h"
#include "ttvm.h"

/* Debian's package seabios, and where other distributions put it. */
static const char *const firmware_paths[] = {
	"/usr/share/seabios/bios-256k.bin",
	"/usr/share/qemu/bios-256k.bin",
	"/usr/share/seabios/bios.bin",
};

/* Where a boot sector has its signature, 55 aa. */
#define BOOT_SIGNATURE 510

/* ------------------------------------------------------------------ the command line */

/* Cut ",word" off the end of text, if it is there. */
static bool cut_word(char *text, const char *word)
{
	size_t len = strlen(text), word_len = strlen(word);

	if (len <= word_len || text[len - word_len - 1] != ',' || strcmp(text + len - word_len, word))
		return false;
	text[len - word_len - 1] = '\0';
	return true;
}

bool guest_parse_disk(struct guest_options *o, const char *text)
{
	struct guest_disk *disk = &o->disks[o->num_disks];
	bool again = true;

	if (o->num_disks == TT_MAX_DISKS) {
		say("--disk: %d disks at most", TT_MAX_DISKS);
		return false;
	}
	*disk = (struct guest_disk){ 0 };
	if (snprintf(disk->path, sizeof(disk->path), "%s", text) >= (int)sizeof(disk->path)) {
		say("--disk: the name is too long");
		return false;
	}
	/* From the end, so that a file's name may have commas. */
	while (again) {
		again = false;
		if (cut_word(disk->path, "readonly"))
			again = disk->readonly = true;
		if (cut_word(disk->path, "plain"))
			again = disk->plain = true;
	}
	if (!disk->path[0]) {
		say("--disk %s: no file; say --disk FILE[,plain][,readonly]", text);
		return false;
	}
	o->num_disks++;
	return true;
}

bool guest_parse_net(struct guest_options *o, const char *text)
{
	struct guest_net *net = &o->nets[o->num_nets];

	if (!strcmp(text, "none")) {
		o->no_net = true;
		return true;
	}
	if (o->num_nets == TT_MAX_NETS) {
		say("--net: %d networks at most", TT_MAX_NETS);
		return false;
	}
	if (!strcmp(text, "user"))
		*net = (struct guest_net){ GUEST_NET_USER, NULL };
	else if (!strncmp(text, "user,", 5))
		*net = (struct guest_net){ GUEST_NET_USER, text + 5 };
	else if (!strncmp(text, "tap:", 4) && text[4])
		*net = (struct guest_net){ GUEST_NET_TAP, text + 4 };
	else {
		say("--net %s: say user, user,tcp:HOSTPORT:GUESTPORT, tap:INTERFACE or none", text);
		return false;
	}
	o->num_nets++;
	return true;
}

/* ------------------------------------------------------------------ what it boots */

static int load_kernel(struct tt_machine_config *config, const char *path, const char *initrd,
		       struct tt_error *err)
{
	int ret = map_file(path, &config->kernel, err);

	if (!ret)
		ret = tt_boot_probe(path, config->kernel, err);
	if (!ret && initrd)
		ret = map_file(initrd, &config->initrd, err);
	config->kernel_name = path;
	return ret;
}

static int load_firmware(struct tt_machine_config *config, const char *path, struct tt_error *err)
{
	size_t i;

	for (i = 0; !path && i < sizeof(firmware_paths) / sizeof(firmware_paths[0]); i++)
		if (!access(firmware_paths[i], R_OK))
			path = firmware_paths[i];
	if (!path)
		return tt_fail(err, -ENOENT, "no firmware to boot the disk with: install SeaBIOS (Debian: apt install "
			       "seabios), or name one with --firmware");
	config->kernel_name = path;
	return map_file(path, &config->firmware, err);
}

/* A disk that no BIOS would boot is more likely a slip of the fingers. */
static int check_boot_sector(const char *path, struct tt_error *err)
{
	uint8_t signature[2] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (pread(fd, signature, sizeof(signature), BOOT_SIGNATURE) < 0)
		signature[0] = 0;
	close(fd);
	if (signature[0] == 0x55 && signature[1] == 0xaa)
		return 0;
	return tt_fail(err, -ENOEXEC, "%s: not a kernel, and not a disk that boots: its first sector does not end in 55 aa. "
		       "Boot a kernel with it: --kernel FILE --disk %s", path, path);
}

static int load_boot(struct guest *guest, const struct guest_options *o, bool from_disk,
		     struct tt_error *err)
{
	const char *kernel = o->kernel ? o->kernel : from_disk ? NULL : o->guest;

	guest->config.command_line = o->command_line;
	if (kernel)
		return load_kernel(&guest->config, kernel, o->initrd, err);
	if (o->initrd)
		return tt_fail(err, -EINVAL, "--initrd: needs a kernel: say --kernel");
	return load_firmware(&guest->config, o->firmware, err);
}

/* ------------------------------------------------------------------ disks */

static int open_disk(struct guest *guest, const struct guest_disk *disk, const char *recording,
		     struct tt_error *err)
{
	struct tt_machine_config *config = &guest->config;
	unsigned int n = config->num_disks;
	int ret;

	switch (image_probe(disk->path, err)) {
	case IMAGE_RAW:
		break;
	case IMAGE_TTD:
		if (disk->plain)
			return tt_fail(err, -EINVAL, "%s: is a history, and `plain` means none", disk->path);
		break;
	case IMAGE_KERNEL:
		return tt_fail(err, -EINVAL, "%s: is a kernel, not a disk", disk->path);
	default:
		return err->code;
	}
	if (disk->plain && recording && !disk->readonly)
		return tt_fail(err, -EINVAL, "%s: a recording needs the disk's history: leave `plain` out",
			       disk->path);
	if (disk->plain && !recording)
		ret = tt_disk_open_raw(disk->path, disk->readonly, &config->disks[n], err);
	else
		ret = tt_disk_open_now(disk->path, disk->readonly, recording, &config->disks[n],
				       &guest->sources[n], err);
	if (!ret)
		config->num_disks++;
	return ret;
}

static int open_disks(struct guest *guest, const struct guest_options *o, bool from_disk,
		      const char *recording, struct tt_error *err)
{
	struct guest_disk first = { 0 };
	unsigned int i;
	int ret = 0;

	if (from_disk && o->num_disks == TT_MAX_DISKS)
		return tt_fail(err, -EINVAL, "%d disks at most", TT_MAX_DISKS);
	if (from_disk) {
		snprintf(first.path, sizeof(first.path), "%s", o->guest);
		ret = open_disk(guest, &first, recording, err);
	}
	for (i = 0; !ret && i < o->num_disks; i++)
		ret = open_disk(guest, &o->disks[i], recording, err);
	return ret;
}

/* ------------------------------------------------------------------ networks */

int guest_open_net(const struct guest_net *option, struct tt_net **net, struct tt_error *err)
{
	return option->kind == GUEST_NET_TAP ? tt_net_open_tap(option->argument, net, err) :
					       tt_net_open_user(option->argument, net, err);
}

static int open_net(struct tt_machine_config *config, const struct guest_net *net, struct tt_error *err)
{
	unsigned int n = config->num_nets;
	int ret = guest_open_net(net, &config->nets[n], err);

	if (ret)
		return ret;
	config->nets[n]->mac[5] = n;
	config->num_nets++;
	return 0;
}

static int open_nets(struct tt_machine_config *config, const struct guest_options *o, bool from_disk,
		     struct tt_error *err)
{
	const struct guest_net user = { GUEST_NET_USER, NULL };
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < o->num_nets; i++)
		ret = open_net(config, &o->nets[i], err);
	/* A whole system expects a network; a kernel under test does not. */
	if (!ret && from_disk && !o->num_nets && !o->no_net)
		ret = open_net(config, &user, err);
	return ret;
}

int guest_start_nets(struct tt_machine *m, struct tt_error *err)
{
	struct tt_machine_config *config = &m->config;
	unsigned int i;
	int ret;

	for (i = 0; i < config->num_nets; i++) {
		ret = config->nets[i]->ops->start(config->nets[i], m, i, err);
		if (ret) {
			while (i--)
				config->nets[i]->ops->stop(config->nets[i]);
			return ret;
		}
	}
	return 0;
}

void guest_stop_nets(struct tt_machine *m)
{
	unsigned int i;

	for (i = 0; i < m->config.num_nets; i++)
		m->config.nets[i]->ops->stop(m->config.nets[i]);
}

/* ------------------------------------------------------------------ all of it */

static int describe_machine(struct guest *guest, const struct guest_options *o, struct tt_error *err)
{
	struct tt_machine_config *config = &guest->config;
	int kvm_fd, ret;

	kvm_fd = tt_kvm_open(err);
	if (kvm_fd < 0)
		return kvm_fd;
	config->memory_size = o->memory;
	config->num_vcpus = 1;
	config->virtio_console = o->virtio_console;
	config->wall_clock = time(NULL);
	ret = tt_host_tsc_hz(kvm_fd, &config->tsc_hz, err);
	if (!ret)
		ret = tt_cpuid_create(kvm_fd, o->cpu_model, config->tsc_hz, &guest->cpuid, err);
	config->cpuid = guest->cpuid;
	config->cpu_model = o->cpu_model;
	close(kvm_fd);
	if (!ret && getrandom(config->rng_seed, sizeof(config->rng_seed), 0) !=
			    sizeof(config->rng_seed))
		ret = tt_fail(err, -EIO, "no random numbers from the kernel");
	return ret;
}

int guest_open(struct guest *guest, const struct guest_options *o, const char *recording,
	       struct tt_error *err)
{
	bool from_disk = false;
	int ret;

	*guest = (struct guest){ 0 };
	if (o->guest) {
		switch (image_probe(o->guest, err)) {
		case IMAGE_KERNEL:
			if (o->kernel)
				return tt_fail(err, -EINVAL, "two kernels: %s and --kernel %s", o->guest, o->kernel);
			break;
		case IMAGE_RAW:
			ret = o->kernel ? 0 : check_boot_sector(o->guest, err);
			if (ret)
				return ret;
			from_disk = true;
			break;
		case IMAGE_TTD:
			from_disk = true;
			break;
		default:
			return err->code;
		}
	}
	ret = load_boot(guest, o, from_disk, err);
	if (!ret)
		ret = describe_machine(guest, o, err);
	/* Last, because it writes to the disks' histories. */
	if (!ret)
		ret = open_nets(&guest->config, o, from_disk, err);
	if (!ret)
		ret = open_disks(guest, o, from_disk, recording, err);
	if (ret)
		guest_close(guest);
	return ret;
}

void guest_close(struct guest *guest)
{
	tt_outside_close(&guest->config);
	free(guest->cpuid);
	guest->cpuid = NULL;
	unmap_file(&guest->config.kernel);
	unmap_file(&guest->config.initrd);
	unmap_file(&guest->config.firmware);
}
