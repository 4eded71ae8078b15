// SPDX-License-Identifier: GPL-2.0
/*
 * sampler - a driver with a bug, for the guest: a thermometer. Writing a number of seconds to /proc/sampler prints the
 * mean temperature over that time. There is room for one second's samples on the stack, and nobody checks.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/random.h>

#define SAMPLES 16 /* per second */

/* Thousandths of a degree, with noise. */
static noinline u32 read_sensor(void)
{
	return 21000 + get_random_u32_below(1000);
}

static noinline void read_samples(u32 *sample, unsigned int count)
{
	while (count--)
		*sample++ = read_sensor();
}

static noinline u32 mean(unsigned int seconds)
{
	u32 sample[SAMPLES], sum = 0;
	int i;

	read_samples(sample, seconds * SAMPLES);
	for (i = 0; i < SAMPLES; i++)
		sum += sample[i];
	return sum / SAMPLES;
}

static ssize_t sampler_write(struct file *file, const char __user *text, size_t len, loff_t *pos)
{
	unsigned int seconds;
	int ret = kstrtouint_from_user(text, len, 10, &seconds);

	if (ret)
		return ret;
	pr_alert("sampler: %u thousandths of a degree\n", mean(seconds));
	return len;
}

static const struct proc_ops sampler_ops = {
	.proc_write = sampler_write,
};

static int sampler_init(void)
{
	return proc_create("sampler", 0200, NULL, &sampler_ops) ? 0 : -ENOMEM;
}
module_init(sampler_init);

MODULE_DESCRIPTION("a thermometer with a buffer overflow on the stack");
MODULE_LICENSE("GPL");
