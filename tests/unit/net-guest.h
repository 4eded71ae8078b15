/* SPDX-License-Identifier: GPL-2.0 */
/*
 * net-guest.h - a guest of a few frames, for tests of network backends: it sends ARP, UDP and TCP by hand and looks at
 * what comes.
 */
#ifndef TTVM_NET_GUEST_H
#define TTVM_NET_GUEST_H

#include "fake-machine.h"
#include "net.h"

#define GUEST_TIMEOUT_MS 5000

struct net_guest {
	struct fake_machine fake;
	struct tt_net *net;
	uint32_t address; /* ours, host byte order */
	uint8_t peer_mac[6];
	uint8_t frame[TT_FRAME_MAX]; /* the last one received */
	size_t len;
	size_t room; /* of the device: 0 takes nothing */
};

/* A machine with a network device, started on net, which it then owns. */
void net_guest_create(struct net_guest *guest, struct tt_net *net, uint32_t address);
void net_guest_destroy(struct net_guest *guest);

/* The next frame in guest->frame, within timeout_ms. */
bool net_guest_receive(struct net_guest *guest, int timeout_ms);
/* The next frame with this EtherType; ARP questions for our address are answered meanwhile. */
bool net_guest_receive_type(struct net_guest *guest, uint16_t type, int timeout_ms);

/* Ask for the MAC of address; the answer is in peer_mac from then on. */
bool net_guest_resolve(struct net_guest *guest, uint32_t address);

void net_guest_send_udp(struct net_guest *guest, uint32_t from, uint32_t to, uint16_t from_port, uint16_t to_port,
			const void *data, size_t len);
/* flags as in the TCP header: SYN 2, PSH 8, ACK 16, FIN 1. */
void net_guest_send_tcp(struct net_guest *guest, uint32_t to, uint16_t from_port, uint16_t to_port, uint32_t seq,
			uint32_t ack, uint8_t flags, const void *data, size_t len);

/* Of the frame received. */
const uint8_t *net_guest_ip(const struct net_guest *guest);
/* UDP header, TCP header: behind the IP header. */
const uint8_t *net_guest_transport(const struct net_guest *guest);
const uint8_t *net_guest_udp_data(const struct net_guest *guest, size_t *len);
const uint8_t *net_guest_tcp_data(const struct net_guest *guest, size_t *len);

uint16_t net_get16(const uint8_t *at);
uint32_t net_get32(const uint8_t *at);
void net_put16(uint8_t *at, uint16_t value);
void net_put32(uint8_t *at, uint32_t value);

#endif /* TTVM_NET_GUEST_H */
