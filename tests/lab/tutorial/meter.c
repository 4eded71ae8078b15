// SPDX-License-Identifier: GPL-2.0
/*
 * meter - a driver with a bug, for the guest: it counts the bytes that leave by a link. A process sends packets, as
 * many as are written to /proc/meter, a timer sends a keep-alive now and then, and both count in one variable without
 * a lock. It stops at the first packet after which the sum is wrong.
 */
#include <linux/hrtimer.h>
#include <linux/jhash.h>
#include <linux/module.h>
#include <linux/proc_fs.h>

#define FRAGMENTS 64	/* of a packet */
#define FRAGMENT 100	/* bytes */
#define KEEP_ALIVE 64	/* bytes */
#define KEEP_ALIVE_NS 1000000

static struct {
	u64 bytes;
	u64 packets;
	u64 keep_alives;
} meter;

static u16 fragments[FRAGMENTS];
static u32 payload[512];
static struct hrtimer timer;

static noinline void count_packet(const u16 *fragment, int n)
{
	u64 bytes = meter.bytes;

	while (n--)
		bytes += *fragment++;
	meter.bytes = bytes;
}

static enum hrtimer_restart keep_alive(struct hrtimer *timer)
{
	meter.keep_alives++;
	meter.bytes += KEEP_ALIVE;
	return HRTIMER_NORESTART;
}

/* Takes much longer than counting. */
static noinline void send_packet(void)
{
	payload[0] = jhash2(payload, ARRAY_SIZE(payload), meter.packets);
	meter.packets++;
	if (!hrtimer_active(&timer))
		hrtimer_start(&timer, KEEP_ALIVE_NS, HRTIMER_MODE_REL);
}

static u64 missing(void)
{
	unsigned long flags;
	u64 bytes;

	local_irq_save(flags);
	bytes = meter.packets * FRAGMENTS * FRAGMENT + meter.keep_alives * KEEP_ALIVE - meter.bytes;
	local_irq_restore(flags);
	return bytes;
}

static ssize_t meter_write(struct file *file, const char __user *text, size_t len, loff_t *pos)
{
	unsigned int packets;
	int ret = kstrtouint_from_user(text, len, 10, &packets);

	if (ret)
		return ret;
	do {
		send_packet();
		count_packet(fragments, FRAGMENTS);
	} while (--packets && !missing());
	hrtimer_cancel(&timer);
	if (missing())
		pr_alert("BUG: %llu bytes are missing after %llu packets, meter at %px\n", missing(), meter.packets,
			 &meter.bytes);
	return len;
}

static const struct proc_ops meter_ops = {
	.proc_write = meter_write,
};

static int meter_init(void)
{
	int i;

	for (i = 0; i < FRAGMENTS; i++)
		fragments[i] = FRAGMENT;
	hrtimer_init(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	timer.function = keep_alive;
	return proc_create("meter", 0200, NULL, &meter_ops) ? 0 : -ENOMEM;
}
module_init(meter_init);

MODULE_DESCRIPTION("a counter with a lost update");
MODULE_LICENSE("GPL");
