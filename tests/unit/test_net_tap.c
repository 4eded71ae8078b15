// SPDX-License-Identifier: GPL-2.0
/*
 * test_net_tap.c - a tap interface of this host's kernel, in a network namespace of its own; the guest is ours. Skipped
 * where that cannot be had.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "net-guest.h"

#define IP    0x0800
#define NAME  "ttvm-test"
#define HOST  0x0a630001u /* 10.99.0.1 */
#define GUEST 0x0a630002u

static void set_address(int fd, unsigned long request, uint32_t address)
{
	struct ifreq r = { .ifr_name = NAME };
	struct sockaddr_in *in = (struct sockaddr_in *)&r.ifr_addr;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(address);
	assert_int_equal(ioctl(fd, request, &r), 0);
}

/* What `ip address add` and `ip link set up` do. */
static void configure_interface(void)
{
	struct ifreq r = { .ifr_name = NAME };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	set_address(fd, SIOCSIFADDR, HOST);
	set_address(fd, SIOCSIFNETMASK, 0xffffff00);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &r), 0);
	r.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
}

static bool enter_own_network(void)
{
	return access("/dev/net/tun", R_OK | W_OK) == 0 &&
	       (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0);
}

static void open_or_skip(struct tt_net **net)
{
	struct tt_error err = { 0 };

	if (!enter_own_network() || tt_net_open_tap(NAME, net, &err)) {
		print_message("no tap interface here: %s\n", err.text);
		skip();
	}
}

static void test_talking_to_the_host(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(2000) };
	struct pollfd ready = { .events = POLLIN };
	struct net_guest guest;
	struct tt_net *net;
	const uint8_t *data;
	char received[16];
	size_t len;

	(void)state;
	open_or_skip(&net);
	configure_interface();
	net_guest_create(&guest, net, GUEST);
	assert_true(net_guest_resolve(&guest, HOST));

	ready.fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(ready.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	net_guest_send_udp(&guest, GUEST, HOST, 3000, 2000, "from the guest", 14);
	assert_int_equal(poll(&ready, 1, GUEST_TIMEOUT_MS), 1);
	assert_int_equal(recv(ready.fd, received, sizeof(received), 0), 14);
	assert_memory_equal(received, "from the guest", 14);

	address.sin_port = htons(3000);
	address.sin_addr.s_addr = htonl(GUEST);
	assert_int_equal(sendto(ready.fd, "to it", 5, 0, (struct sockaddr *)&address, sizeof(address)), 5);
	do
		assert_true(net_guest_receive_type(&guest, IP, GUEST_TIMEOUT_MS));
	while (net_guest_ip(&guest)[9] != 17 || net_get16(net_guest_transport(&guest) + 2) != 3000);
	data = net_guest_udp_data(&guest, &len);
	assert_int_equal(len, 5);
	assert_memory_equal(data, "to it", 5);
	close(ready.fd);
	net_guest_destroy(&guest);
}

/* The guest takes nothing for a while: its queue fills, then the interface's; stopping works all the same. */
static void test_full_queue(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(3000) };
	struct net_guest guest;
	struct tt_net *net;
	char data[1400] = { 0 };
	int fd, i, came = 0;

	(void)state;
	open_or_skip(&net);
	configure_interface();
	net_guest_create(&guest, net, GUEST);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	address.sin_addr.s_addr = htonl(GUEST);
	sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&address, sizeof(address));
	assert_true(net_guest_receive_type(&guest, IP, GUEST_TIMEOUT_MS)); /* ARP is done */
	guest.room = 0;
	for (i = 0; i < 100; i++)
		sendto(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&address, sizeof(address));
	usleep(20000);
	guest.room = TT_FRAME_MAX;
	while (net_guest_receive_type(&guest, IP, 300))
		came++;
	assert_int_equal(came, 100);
	guest.room = 0;
	for (i = 0; i < 100; i++)
		sendto(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	net_guest_destroy(&guest);
}

static void test_one_user_at_a_time(void **state)
{
	struct tt_error err = { 0 };
	struct tt_net *first, *second;

	(void)state;
	open_or_skip(&first);
	assert_int_equal(tt_net_open_tap(NAME, &second, &err), -EBUSY);
	assert_string_equal(err.text, NAME ": another process has it open");
	first->ops->close(first);
}

static void test_bad_names(void **state)
{
	struct tt_error err = { 0 };
	struct tt_net *net;

	(void)state;
	assert_int_equal(tt_net_open_tap("", &net, &err), -EINVAL);
	assert_int_equal(tt_net_open_tap("sixteen-letters-", &net, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'sixteen-letters-' cannot be an interface's name"));
	if (!enter_own_network())
		skip();
	assert_int_equal(tt_net_open_tap("lo", &net, &err), -EINVAL);
	assert_string_equal(err.text, "lo: is there, but is not a tap interface");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_talking_to_the_host),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_one_user_at_a_time),
		cmocka_unit_test(test_bad_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
