// SPDX-License-Identifier: GPL-2.0
/*
 * test_net_user.c - user-mode networking with the real libslirp and real sockets of this host; the guest is ours.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "net-guest.h"

#define IP  0x0800
#define ARP 0x0806

#define HOST  0x0a000202u
#define GUEST 0x0a00020fu

#define FIN 0x01
#define SYN 0x02
#define PSH 0x08
#define ACK 0x10

static void create(struct net_guest *guest, const char *forwards)
{
	struct tt_error err = { 0 };
	struct tt_net *net;

	if (tt_net_open_user(forwards, &net, &err))
		fail_msg("%s", err.text);
	net_guest_create(guest, net, GUEST);
}

/* A socket on 127.0.0.1 and some free port. */
static int open_host_socket(int type, uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 5), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static uint16_t free_port(int type)
{
	uint16_t port;

	close(open_host_socket(type, &port));
	return port;
}

static size_t receive_on(int fd, void *data, size_t size)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	ssize_t len;

	if (poll(&ready, 1, GUEST_TIMEOUT_MS) != 1)
		fail_msg("nothing came to the host's socket");
	len = recv(fd, data, size, 0);
	assert_true(len >= 0);
	return len;
}

static void test_arp_of_the_router(void **state)
{
	struct net_guest guest;

	(void)state;
	create(&guest, NULL);
	assert_true(net_guest_resolve(&guest, HOST));
	assert_int_equal(guest.peer_mac[0], 0x52); /* libslirp's: 52:55 and the address */
	assert_int_equal(net_get32(guest.peer_mac + 2), HOST);
	net_guest_destroy(&guest);
}

static void test_dhcp_offers_the_guest_address(void **state)
{
	uint8_t request[300] = { 1, 1, 6, 0, 't', 't', 'v', 'm' };
	const uint8_t *answer;
	struct net_guest guest;
	size_t len;

	(void)state;
	create(&guest, NULL);
	memcpy(request + 28, guest.net->mac, 6);
	memcpy(request + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8); /* cookie, DISCOVER */
	net_guest_send_udp(&guest, 0, 0xffffffff, 68, 67, request, sizeof(request));
	do
		assert_true(net_guest_receive_type(&guest, IP, GUEST_TIMEOUT_MS));
	while (net_guest_ip(&guest)[9] != 17 || net_get16(net_guest_transport(&guest) + 2) != 68);
	answer = net_guest_udp_data(&guest, &len);
	assert_true(len > 240);
	assert_int_equal(answer[0], 2);
	assert_memory_equal(answer + 4, "ttvm", 4);
	assert_int_equal(net_get32(answer + 16), GUEST);
	net_guest_destroy(&guest);
}

static void receive_tcp(struct net_guest *guest)
{
	do
		assert_true(net_guest_receive_type(guest, IP, GUEST_TIMEOUT_MS));
	while (net_guest_ip(guest)[9] != 6);
}

/* The guest opens a connection to a server of this host, they talk, and the guest closes it. */
static void test_tcp_to_a_server_of_the_host(void **state)
{
	struct net_guest guest;
	const uint8_t *tcp, *data;
	uint32_t seq = 1000, ack;
	char received[64] = "";
	uint16_t port;
	size_t len;
	int listener = open_host_socket(SOCK_STREAM, &port), connection;

	(void)state;
	create(&guest, NULL);
	assert_true(net_guest_resolve(&guest, HOST));
	net_guest_send_tcp(&guest, HOST, 5000, port, seq++, 0, SYN, NULL, 0);
	connection = accept(listener, NULL, NULL);
	assert_true(connection >= 0);
	receive_tcp(&guest);
	tcp = net_guest_transport(&guest);
	assert_int_equal(net_get16(tcp), port);
	assert_int_equal(net_get16(tcp + 2), 5000);
	assert_int_equal(tcp[13] & (SYN | ACK), SYN | ACK);
	assert_int_equal(net_get32(tcp + 8), seq);
	ack = net_get32(tcp + 4) + 1;

	net_guest_send_tcp(&guest, HOST, 5000, port, seq, ack, ACK | PSH, "GET /\r\n", 7);
	seq += 7;
	assert_int_equal(receive_on(connection, received, sizeof(received)), 7);
	assert_memory_equal(received, "GET /\r\n", 7);

	assert_int_equal(send(connection, "hello", 5, 0), 5);
	do {
		receive_tcp(&guest);
		data = net_guest_tcp_data(&guest, &len);
	} while (!len); /* its acknowledgement may come first */
	assert_int_equal(len, 5);
	assert_memory_equal(data, "hello", 5);
	ack += 5;

	net_guest_send_tcp(&guest, HOST, 5000, port, seq, ack, ACK | FIN, NULL, 0);
	assert_int_equal(receive_on(connection, received, sizeof(received)), 0); /* end of file */
	close(connection);
	close(listener);
	net_guest_destroy(&guest);
}

static void test_refused_connection_is_reset(void **state)
{
	uint16_t port = free_port(SOCK_STREAM);
	struct net_guest guest;

	(void)state;
	create(&guest, NULL);
	assert_true(net_guest_resolve(&guest, HOST));
	net_guest_send_tcp(&guest, HOST, 5000, port, 1, 0, SYN, NULL, 0);
	receive_tcp(&guest);
	assert_int_equal(net_guest_transport(&guest)[13] & 0x04, 0x04); /* RST */
	net_guest_destroy(&guest);
}

static void test_udp_forward(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t port = free_port(SOCK_DGRAM), from;
	char forward[32], answer[16];
	struct net_guest guest;
	const uint8_t *data;
	uint32_t from_address;
	size_t len;
	int client = socket(AF_INET, SOCK_DGRAM, 0);

	(void)state;
	snprintf(forward, sizeof(forward), "udp:%u:7", port);
	create(&guest, forward);
	address.sin_port = htons(port);
	assert_int_equal(sendto(client, "ping", 4, 0, (struct sockaddr *)&address, sizeof(address)), 4);
	do
		assert_true(net_guest_receive_type(&guest, IP, GUEST_TIMEOUT_MS));
	while (net_guest_ip(&guest)[9] != 17);
	data = net_guest_udp_data(&guest, &len);
	assert_int_equal(len, 4);
	assert_memory_equal(data, "ping", 4);
	assert_int_equal(net_get16(net_guest_transport(&guest) + 2), 7);
	from = net_get16(net_guest_transport(&guest));
	from_address = net_get32(net_guest_ip(&guest) + 12);
	net_guest_send_udp(&guest, GUEST, from_address, 7, from, "pong", 4);
	assert_int_equal(receive_on(client, answer, sizeof(answer)), 4);
	assert_memory_equal(answer, "pong", 4);
	close(client);
	net_guest_destroy(&guest);
}

static void test_tcp_forward(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t port = free_port(SOCK_STREAM), second = free_port(SOCK_STREAM), from;
	char forwards[64], received[8];
	struct net_guest guest;
	const uint8_t *tcp;
	uint32_t ack, from_address;
	int client = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	snprintf(forwards, sizeof(forwards), "tcp:%u:80,tcp:%u:22", second, port);
	create(&guest, forwards);
	address.sin_port = htons(port);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	receive_tcp(&guest);
	tcp = net_guest_transport(&guest);
	assert_int_equal(net_get16(tcp + 2), 22);
	assert_int_equal(tcp[13] & (SYN | ACK), SYN);
	from = net_get16(tcp);
	from_address = net_get32(net_guest_ip(&guest) + 12);
	ack = net_get32(tcp + 4) + 1;
	net_guest_send_tcp(&guest, from_address, 22, from, 77, ack, SYN | ACK, NULL, 0);
	net_guest_send_tcp(&guest, from_address, 22, from, 78, ack, ACK | PSH, "SSH-", 4);
	assert_int_equal(receive_on(client, received, sizeof(received)), 4);
	assert_memory_equal(received, "SSH-", 4);
	close(client);
	net_guest_destroy(&guest);
}

static void test_bad_forwards(void **state)
{
	static const char *const bad[] = { "tcp",	"tcp:80",	  "tcp:80:",	 "tcp:0:80",	"tcp:80:65536",
					   "http:80:80", "tcp:80:80,",	  "tcp: 80:80",	 "tcp:80:80x",	"tcp:-1:80",
					   ",",		"tcp:8080:80 ", "TCP:8080:80", "tcp:99999999999999999999:1" };
	struct tt_error err;
	struct tt_net *net = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err = (struct tt_error){ 0 };
		if (tt_net_open_user(bad[i], &net, &err) != -EINVAL)
			fail_msg("%s: taken", bad[i]);
		assert_non_null(strstr(err.text, "is not a port forward; say tcp:HOSTPORT:GUESTPORT"));
		assert_null(net);
	}
}

static void test_taken_ports(void **state)
{
	static const struct {
		int type;
		const char *name, *proto;
	} kinds[] = { { SOCK_STREAM, "tcp", "TCP" }, { SOCK_DGRAM, "udp", "UDP" } };
	char forward[64], text[64];
	struct tt_error err;
	struct tt_net *net;
	const int on = 1;
	uint16_t port;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < 2; i++) {
		fd = open_host_socket(kinds[i].type, &port);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		snprintf(forward, sizeof(forward), "%s:%u:80", kinds[i].name, port);
		snprintf(text, sizeof(text), "cannot forward %s port %u of this host: Address already in use",
			 kinds[i].proto, port);
		assert_int_equal(tt_net_open_user(forward, &net, &err), -EADDRINUSE);
		assert_non_null(strstr(err.text, text));
		close(fd);
		/* Free again, and nothing of the failed try holds it. */
		assert_int_equal(tt_net_open_user(forward, &net, &err), 0);
		net->ops->close(net);
	}
	snprintf(forward, sizeof(forward), "tcp:%u:1,tcp:%u:2", port, port);
	assert_int_equal(tt_net_open_user(forward, &net, &err), -EADDRINUSE);
}

/* While the guest takes nothing, frames wait; then they come whole and in order; beyond the bound they are lost. */
static void test_frames_wait_for_the_guest(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t port = free_port(SOCK_DGRAM);
	int client = socket(AF_INET, SOCK_DGRAM, 0);
	struct net_guest guest;
	uint32_t number, expected = 0;
	char forward[32];
	uint8_t data[1400] = { 0 };
	size_t len;
	int i;

	(void)state;
	snprintf(forward, sizeof(forward), "udp:%u:7", port);
	create(&guest, forward);
	assert_true(net_guest_resolve(&guest, HOST)); /* libslirp has seen us, too */
	address.sin_port = htons(port);
	guest.room = 0;
	for (i = 0; i < 200; i++) {
		net_put32(data, i);
		assert_int_equal(sendto(client, data, sizeof(data), 0, (struct sockaddr *)&address, sizeof(address)),
				 sizeof(data));
		usleep(1000);
	}
	usleep(20000);
	guest.room = TT_FRAME_MAX;
	while (expected < 200) {
		if (!net_guest_receive_type(&guest, IP, GUEST_TIMEOUT_MS))
			fail_msg("only %u of 200 came", expected);
		number = net_get32(net_guest_udp_data(&guest, &len));
		assert_int_equal(len, sizeof(data));
		assert_int_equal(number, expected++);
	}
	guest.room = 0;
	for (i = 0; i < 600; i++) {
		sendto(client, data, sizeof(data), 0, (struct sockaddr *)&address, sizeof(address));
		usleep(200);
	}
	usleep(20000);
	guest.room = TT_FRAME_MAX;
	for (i = 0; net_guest_receive_type(&guest, IP, 200); i++)
		;
	if (i < 256 || i > 320)
		fail_msg("%d of 600 frames waited, the bound is 256 and 64 KiB", i);
	assert_true(net_guest_resolve(&guest, HOST)); /* it still lives */
	close(client);
	net_guest_destroy(&guest);
}

static void test_nothing_comes_after_stop(void **state)
{
	struct net_guest guest;

	(void)state;
	create(&guest, NULL);
	assert_true(net_guest_resolve(&guest, HOST));
	guest.net->ops->stop(guest.net);
	guest.net->ops->send(guest.net, guest.frame, guest.len);
	assert_false(net_guest_receive(&guest, 100));
	guest.net->ops->stop(guest.net); /* harmless */
	net_guest_destroy(&guest);
}

/* Frames that no driver would send: nobody crashes, and the next one is answered. */
static void test_garbage_from_the_guest(void **state)
{
	uint8_t frame[TT_FRAME_MAX];
	struct net_guest guest;
	unsigned int i;
	size_t len;

	(void)state;
	create(&guest, NULL);
	for (i = 0; i < 2000; i++) {
		len = i * 7919 % (TT_FRAME_MAX + 1);
		memset(frame, i, sizeof(frame));
		net_put16(frame + 12, i % 3 ? IP : ARP);
		frame[14] = i % 2 ? 0x45 : i;
		guest.net->ops->send(guest.net, frame, len);
		guest.net->ops->send(guest.net, frame, i % 20);
		if (i % 50 == 0)
			usleep(1000);
	}
	while (net_guest_receive(&guest, 50))
		;
	assert_true(net_guest_resolve(&guest, HOST));
	net_guest_destroy(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp_of_the_router),
		cmocka_unit_test(test_dhcp_offers_the_guest_address),
		cmocka_unit_test(test_tcp_to_a_server_of_the_host),
		cmocka_unit_test(test_refused_connection_is_reset),
		cmocka_unit_test(test_udp_forward),
		cmocka_unit_test(test_tcp_forward),
		cmocka_unit_test(test_bad_forwards),
		cmocka_unit_test(test_taken_ports),
		cmocka_unit_test(test_frames_wait_for_the_guest),
		cmocka_unit_test(test_nothing_comes_after_stop),
		cmocka_unit_test(test_garbage_from_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
