/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fw_cfg.h - what the machine tells its firmware: numbered items, and files with names, behind two
 * ports (QEMU's docs/specs/fw_cfg).
 */
#ifndef TTVM_FW_CFG_H
#define TTVM_FW_CFG_H

#include "vmm.h"

/* Items whose number has a fixed meaning. */
#define TT_FW_CFG_SIGNATURE 0x00 /* "QEMU" */
#define TT_FW_CFG_ID	    0x01 /* u32: 1, the interface with two ports */
#define TT_FW_CFG_NB_CPUS   0x05 /* u16: CPUs that are there at start-up */
#define TT_FW_CFG_MAX_CPUS  0x0f /* u16 */
#define TT_FW_CFG_FILE_DIR  0x19 /* made of the files */
#define TT_FW_CFG_FILES	    0x20 /* the first file has this number, the next one the next */

#define TT_FW_CFG_NAME_SIZE 56 /* of a file, with its final NUL */

struct tt_fw_cfg;

/* The device, with signature and id; it belongs to the machine. */
int tt_fw_cfg_create(struct tt_machine *m, struct tt_fw_cfg **fw_cfg, struct tt_error *err);
/* Before the guest runs: add an item or a file; data is copied. 0, -ENOSPC or -ENOMEM. */
int tt_fw_cfg_add(struct tt_fw_cfg *fw_cfg, uint16_t key, const void *data, uint32_t size);
int tt_fw_cfg_add_file(struct tt_fw_cfg *fw_cfg, const char *name, const void *data, uint32_t size);

#endif /* TTVM_FW_CFG_H */
