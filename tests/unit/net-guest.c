// SPDX-License-Identifier: GPL-2.0
/*
 * net-guest.c - see net-guest.h.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net-guest.h"

#define ETHERNET 14
#define TYPE_IP	 0x0800
#define TYPE_ARP 0x0806
#define IP_SIZE	 20
#define UDP_SIZE 8
#define TCP_SIZE 20

uint16_t net_get16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

uint32_t net_get32(const uint8_t *at)
{
	return (uint32_t)net_get16(at) << 16 | net_get16(at + 2);
}

void net_put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

void net_put32(uint8_t *at, uint32_t value)
{
	net_put16(at, value >> 16);
	net_put16(at + 2, value);
}

static size_t guest_room(void *ctx)
{
	return ((struct net_guest *)ctx)->room;
}

static void guest_deliver(void *ctx, const void *data, size_t len)
{
	struct net_guest *guest = ctx;

	memcpy(guest->frame, data, len);
	guest->len = len;
}

void net_guest_create(struct net_guest *guest, struct tt_net *net, uint32_t address)
{
	const struct tt_input input = { .room = guest_room, .deliver = guest_deliver, .frames = true, .ctx = guest };
	struct tt_error err = { 0 };

	memset(guest, 0, sizeof(*guest));
	fake_machine_create_bare(&guest->fake, 1);
	guest->net = net;
	guest->address = address;
	guest->room = TT_FRAME_MAX;
	memset(guest->peer_mac, 0xff, 6);
	tt_input_register(&guest->fake.m, TT_INPUT_NET0, &input);
	if (net->ops->start(net, &guest->fake.m, 0, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

void net_guest_destroy(struct net_guest *guest)
{
	guest->net->ops->stop(guest->net);
	guest->net->ops->close(guest->net);
	fake_machine_destroy(&guest->fake);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

bool net_guest_receive(struct net_guest *guest, int timeout_ms)
{
	uint8_t data[TT_INPUT_MAX];
	int64_t end = now_ms() + timeout_ms;
	size_t len;

	do {
		len = tt_input_take(&guest->fake.m, TT_INPUT_NET0, data, sizeof(data));
		if (len)
			return tt_input_deliver(&guest->fake.m, TT_INPUT_NET0, data, len) == 0;
		usleep(500);
	} while (now_ms() < end);
	return false;
}

static void begin_frame(const struct net_guest *guest, uint8_t *frame, uint16_t type)
{
	memcpy(frame, guest->peer_mac, 6);
	memcpy(frame + 6, guest->net->mac, 6);
	net_put16(frame + 12, type);
}

static void send_arp(struct net_guest *guest, uint16_t operation, const uint8_t *mac, uint32_t address)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4 };
	uint8_t frame[60] = { 0 };

	begin_frame(guest, frame, TYPE_ARP);
	if (operation == 1)
		memset(frame, 0xff, 6);
	memcpy(frame + 14, head, sizeof(head));
	net_put16(frame + 20, operation);
	memcpy(frame + 22, guest->net->mac, 6);
	net_put32(frame + 28, guest->address);
	memcpy(frame + 32, mac, 6);
	net_put32(frame + 38, address);
	guest->net->ops->send(guest->net, frame, sizeof(frame));
}

bool net_guest_receive_type(struct net_guest *guest, uint16_t type, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	const uint8_t *frame = guest->frame;

	while (now_ms() < end && net_guest_receive(guest, end - now_ms())) {
		if (net_get16(frame + 12) == TYPE_ARP && net_get16(frame + 20) == 1 &&
		    net_get32(frame + 38) == guest->address) {
			memcpy(guest->peer_mac, frame + 22, 6);
			send_arp(guest, 2, frame + 22, net_get32(frame + 28));
			continue;
		}
		if (net_get16(frame + 12) == type)
			return true;
	}
	return false;
}

bool net_guest_resolve(struct net_guest *guest, uint32_t address)
{
	static const uint8_t nobody[6];

	send_arp(guest, 1, nobody, address);
	while (net_guest_receive_type(guest, TYPE_ARP, GUEST_TIMEOUT_MS)) {
		if (net_get16(guest->frame + 20) == 2 && net_get32(guest->frame + 28) == address) {
			memcpy(guest->peer_mac, guest->frame + 22, 6);
			return true;
		}
	}
	return false;
}

/* ------------------------------------------------------------------ IP */

static uint32_t sum16(const uint8_t *data, size_t len, uint32_t sum)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += net_get16(data + i);
	if (len % 2)
		sum += data[len - 1] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* frame holds the transport header and its data behind the IP header. */
static void send_ip(struct net_guest *guest, uint8_t *frame, uint32_t from, uint32_t to, uint8_t protocol,
		    size_t len, size_t checksum_at)
{
	uint8_t *ip = frame + ETHERNET, *transport = ip + IP_SIZE;
	uint8_t pseudo[12] = { 0 };

	begin_frame(guest, frame, TYPE_IP);
	memset(ip, 0, IP_SIZE);
	ip[0] = 0x45;
	net_put16(ip + 2, IP_SIZE + len);
	ip[8] = 64;
	ip[9] = protocol;
	net_put32(ip + 12, from);
	net_put32(ip + 16, to);
	net_put16(ip + 10, fold(sum16(ip, IP_SIZE, 0)));
	net_put32(pseudo, from);
	net_put32(pseudo + 4, to);
	pseudo[9] = protocol;
	net_put16(pseudo + 10, len);
	net_put16(transport + checksum_at, fold(sum16(transport, len, sum16(pseudo, sizeof(pseudo), 0))));
	guest->net->ops->send(guest->net, frame, ETHERNET + IP_SIZE + len);
}

void net_guest_send_udp(struct net_guest *guest, uint32_t from, uint32_t to, uint16_t from_port, uint16_t to_port,
			const void *data, size_t len)
{
	uint8_t frame[TT_FRAME_MAX] = { 0 };
	uint8_t *udp = frame + ETHERNET + IP_SIZE;

	net_put16(udp, from_port);
	net_put16(udp + 2, to_port);
	net_put16(udp + 4, UDP_SIZE + len);
	memcpy(udp + UDP_SIZE, data, len);
	send_ip(guest, frame, from, to, 17, UDP_SIZE + len, 6);
}

void net_guest_send_tcp(struct net_guest *guest, uint32_t to, uint16_t from_port, uint16_t to_port, uint32_t seq,
			uint32_t ack, uint8_t flags, const void *data, size_t len)
{
	uint8_t frame[TT_FRAME_MAX] = { 0 };
	uint8_t *tcp = frame + ETHERNET + IP_SIZE;

	net_put16(tcp, from_port);
	net_put16(tcp + 2, to_port);
	net_put32(tcp + 4, seq);
	net_put32(tcp + 8, ack);
	tcp[12] = TCP_SIZE / 4 << 4;
	tcp[13] = flags;
	net_put16(tcp + 14, 65535);
	if (len)
		memcpy(tcp + TCP_SIZE, data, len);
	send_ip(guest, frame, guest->address, to, 6, TCP_SIZE + len, 16);
}

const uint8_t *net_guest_ip(const struct net_guest *guest)
{
	return guest->frame + ETHERNET;
}

const uint8_t *net_guest_transport(const struct net_guest *guest)
{
	return net_guest_ip(guest) + (guest->frame[ETHERNET] & 15) * 4;
}

const uint8_t *net_guest_udp_data(const struct net_guest *guest, size_t *len)
{
	const uint8_t *udp = net_guest_transport(guest);

	*len = net_get16(udp + 4) - UDP_SIZE;
	return udp + UDP_SIZE;
}

const uint8_t *net_guest_tcp_data(const struct net_guest *guest, size_t *len)
{
	const uint8_t *tcp = net_guest_transport(guest), *data = tcp + (tcp[12] >> 4) * 4;

	*len = net_guest_ip(guest) + net_get16(net_guest_ip(guest) + 2) - data;
	return data;
}
