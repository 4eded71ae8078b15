// SPDX-License-Identifier: GPL-2.0
/*
 * outside.c - the disks and networks of a replay.
 */
#include <libgen.h>
#include <stdio.h>
#include <string.h>

#include "net.h"
#include "replay.h"

int tt_outside_open(struct tt_machine_config *config, const struct tt_recording_facts *facts,
		    const char *log_path, const char *const *paths, unsigned int num_paths,
		    struct tt_error *err)
{
	char path[PATH_MAX], *folder;
	unsigned int i;
	int ret;

	if (snprintf(path, sizeof(path), "%s", log_path) >= (int)sizeof(path))
		return tt_fail(err, -ENAMETOOLONG, "%s: the name is too long", log_path);
	folder = dirname(path);
	if (num_paths > config->num_disks)
		return tt_fail(err, -EINVAL, "the recording has %u disks, not %u", config->num_disks, num_paths);
	for (i = 0; i < config->num_disks; i++) {
		ret = tt_disk_open_departure(&facts->disks[i], i < num_paths ? paths[i] : NULL,
					     folder, &config->disks[i], err);
		if (ret)
			goto err_close;
	}
	for (i = 0; i < config->num_nets; i++) {
		config->nets[i] = tt_net_open_none();
		if (!config->nets[i]) {
			ret = tt_fail(err, -ENOMEM, "out of memory");
			goto err_close;
		}
		memcpy(config->nets[i]->mac, facts->macs[i], sizeof(facts->macs[i]));
	}
	return 0;

err_close:
	tt_outside_close(config);
	return ret;
}

void tt_outside_close(struct tt_machine_config *config)
{
	unsigned int i;

	for (i = 0; i < config->num_disks; i++) {
		if (config->disks[i])
			config->disks[i]->ops->close(config->disks[i]);
		config->disks[i] = NULL;
	}
	for (i = 0; i < config->num_nets; i++) {
		if (config->nets[i])
			config->nets[i]->ops->close(config->nets[i]);
		config->nets[i] = NULL;
	}
}
