// SPDX-License-Identifier: GPL-2.0
/*
 * ledger - a driver with a bug, for the guest: it moves money between accounts and now and then gives one a new owner. A name
 * that is too long runs over into the account's limit, and nobody notices until the books are audited.
 */
#include <linux/module.h>
#include <linux/random.h>

#define ACCOUNTS 16
#define TRANSFERS 20000
#define LIMIT 1000

struct account {
	char owner[24];
	long limit;
	long balance;
};

static struct account accounts[ACCOUNTS];

static const char *const names[] = { "Ada Lovelace", "Alan Turing", "Grace Hopper", "Edsger W. Dijkstra", "Radia Perlman" };

static noinline void set_owner(struct account *account, const char *name)
{
	char *to = account->owner;

	do
		*to++ = *name;
	while (*name++);
}

static noinline void transfer(struct account *from, struct account *to)
{
	if (from->balance <= -from->limit)
		return;
	from->balance--;
	to->balance++;
}

static void audit(void)
{
	int i;

	for (i = 0; i < ACCOUNTS; i++)
		if (accounts[i].limit != LIMIT)
			pr_alert("BUG: the limit of account %d is %ld, at %px\n", i, accounts[i].limit, &accounts[i].limit);
}

static int ledger_init(void)
{
	int i;

	for (i = 0; i < ACCOUNTS; i++)
		accounts[i].limit = LIMIT;
	for (i = 0; i < TRANSFERS; i++) {
		transfer(&accounts[get_random_u32_below(ACCOUNTS)], &accounts[get_random_u32_below(ACCOUNTS)]);
		if (i % 100 == 0)
			set_owner(&accounts[get_random_u32_below(ACCOUNTS)], names[i / 100 % ARRAY_SIZE(names)]);
		if (i == TRANSFERS / 2)
			set_owner(&accounts[ACCOUNTS / 2], "Barbara Liskov, born Huberman");
	}
	audit();
	return 0;
}
module_init(ledger_init);

MODULE_DESCRIPTION("accounts with a wild write");
MODULE_LICENSE("GPL");
