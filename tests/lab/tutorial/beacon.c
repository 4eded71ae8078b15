// SPDX-License-Identifier: GPL-2.0
/*
 * beacon - a driver with a bug, for the guest: once in each period (a parameter, in seconds) it calls its listener.
 * Writing a number to /proc/beacon sets the listener's priority; what is no number gives up its reference twice.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/timer.h>

static unsigned int period = 60;
module_param(period, uint, 0444);

struct listener {
	void (*hear)(struct listener *listener); /* NULL: nobody */
	unsigned int beats;
	int priority;
	int references;
};

static struct listener *listener;
static struct timer_list timer;

static void hear(struct listener *listener)
{
	listener->beats++;
}

static noinline void put_listener(struct listener *listener)
{
	if (!--listener->references)
		listener->hear = NULL;
}

static void beat(struct timer_list *timer)
{
	listener->hear(listener);
	mod_timer(timer, jiffies + period * HZ);
}

static noinline int set_priority(struct listener *listener, const char __user *text, size_t len)
{
	int priority, ret;

	listener->references++;
	ret = kstrtoint_from_user(text, len, 10, &priority);
	if (ret)
		put_listener(listener);
	else
		listener->priority = priority;
	put_listener(listener);
	return ret;
}

static ssize_t beacon_write(struct file *file, const char __user *text, size_t len, loff_t *pos)
{
	int ret = set_priority(listener, text, len);

	return ret ? ret : len;
}

static const struct proc_ops beacon_ops = {
	.proc_write = beacon_write,
};

static int beacon_init(void)
{
	listener = kzalloc(sizeof(*listener), GFP_KERNEL);
	if (!listener)
		return -ENOMEM;
	listener->hear = hear;
	listener->references = 1;
	timer_setup(&timer, beat, 0);
	mod_timer(&timer, jiffies + period * HZ);
	return proc_create("beacon", 0200, NULL, &beacon_ops) ? 0 : -ENOMEM;
}
module_init(beacon_init);

MODULE_DESCRIPTION("a listener with a reference too few");
MODULE_LICENSE("GPL");
