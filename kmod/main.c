// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - loading and unloading: the device node /dev/ttvm, and nothing else.
 *
 * KVM is hooked while a vCPU is attached, not before: a machine that has the module loaded runs as fast as one that has
 * not. The module needs kvm.ko, whose tracepoints it uses; the vendor's module may be loaded later.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/miscdevice.h>
#include <linux/module.h>

#include "compat/compat.h"
#include "session.h"

static struct miscdevice ttvm_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ttvm",
	.fops = &tt_session_fops,
	.mode = 0660,
};

static int __init ttvm_init(void)
{
	int err = misc_register(&ttvm_device);

	if (err)
		pr_err("cannot register /dev/ttvm (%d)\n", err);
	return err;
}

static void __exit ttvm_exit(void)
{
	misc_deregister(&ttvm_device);
	tt_compat_exit();
}

module_init(ttvm_init);
module_exit(ttvm_exit);

MODULE_DESCRIPTION("Records and replays KVM guests: exact positions, virtual time, stops");
MODULE_AUTHOR("The ttvm authors");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("GPL");
