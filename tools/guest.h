/* SPDX-License-Identifier: GPL-2.0 */
/*
 * guest.h - from what the user says on the command line to the configuration of a machine.
 */
#ifndef TTVM_TOOLS_GUEST_H
#define TTVM_TOOLS_GUEST_H

#include "replay.h"
#include "vmm.h"

struct guest_disk {
	char path[PATH_MAX];
	bool readonly;
	bool plain;		/* a raw file written in place, without history */
};

struct guest_net {
	enum { GUEST_NET_USER, GUEST_NET_TAP } kind;
	const char *argument;	/* forwards, or NULL; the interface */
};

struct guest_options {
	const char *guest;	/* a kernel or a disk, told by its content; or NULL */
	const char *kernel;
	const char *initrd;
	const char *command_line;
	const char *firmware;
	const char *cpu_model;
	uint64_t memory;
	struct guest_disk disks[TT_MAX_DISKS];
	unsigned int num_disks;
	struct guest_net nets[TT_MAX_NETS];
	unsigned int num_nets;
	bool no_net;		/* not even the network that a disk boots with by default */
	bool virtio_console;
};

/* Arguments of --disk and --net. False, with the reason said, when they make no sense. */
bool guest_parse_disk(struct guest_options *o, const char *text);
bool guest_parse_net(struct guest_options *o, const char *text);

/* Connected by guest_start_nets(). */
int guest_open_net(const struct guest_net *option, struct tt_net **net, struct tt_error *err);

struct guest {
	struct tt_machine_config config;
	struct kvm_cpuid2 *cpuid;
	struct tt_disk_source sources[TT_MAX_DISKS];	/* of a recording */
};

/*
 * Map the files, open disks and networks, describe the machine. recording: the recording's id, or NULL. On failure there is
 * nothing to close.
 */
int guest_open(struct guest *guest, const struct guest_options *o, const char *recording,
	       struct tt_error *err);
void guest_close(struct guest *guest);

/* Connect and disconnect the networks of a machine: after tt_machine_create(), before tt_machine_destroy(). */
int guest_start_nets(struct tt_machine *m, struct tt_error *err);
void guest_stop_nets(struct tt_machine *m);

#endif /* TTVM_TOOLS_GUEST_H */
