// SPDX-License-Identifier: GPL-2.0
/*
 * serial.c - COM1, a 16550A at 0x3f8, interrupt 4.
 *
 * The line is infinitely fast: a byte that is written is gone before the next instruction, so the
 * transmitter is always empty. Received bytes below the FIFO's trigger level raise the
 * character-timeout interrupt at once, for the same reason.
 *
 * Input waits outside until the guest listens: until it has enabled the received-data interrupt and
 * connected it (OUT2), or has looked for data POLLS_TO_LISTEN times in a row. A byte that came
 * while a driver probes or starts up would be lost.
 */
#include <stdlib.h>

#include "devices.h"

#define SERIAL_PORT	0x3f8
#define SERIAL_GSI	4
#define FIFO_SIZE	16
#define POLLS_TO_LISTEN 64

enum { REG_DATA, REG_IER, REG_FCR_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

#define IER_RECEIVED 0x01
#define IER_EMPTY    0x02
#define IER_LINE     0x04
#define IER_MODEM    0x08

#define IIR_NONE     0x01
#define IIR_MODEM    0x00
#define IIR_EMPTY    0x02
#define IIR_RECEIVED 0x04
#define IIR_LINE     0x06
#define IIR_TIMEOUT  0x0c
#define IIR_FIFO     0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02

#define LCR_DLAB 0x80

#define MCR_DTR	     0x01
#define MCR_RTS	     0x02
#define MCR_OUT1     0x04
#define MCR_OUT2     0x08
#define MCR_LOOPBACK 0x10

#define LSR_DATA    0x01
#define LSR_OVERRUN 0x02
#define LSR_EMPTY   0x60 /* holding register and transmitter */

#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI	0x40
#define MSR_DCD 0x80

struct serial_state {
	uint8_t fifo[FIFO_SIZE];
	uint8_t head; /* of the next byte to read */
	uint8_t count;
	uint8_t ier;
	uint8_t fcr;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t msr;
	uint8_t scratch;
	uint16_t divisor;
	uint8_t overrun;
	uint8_t empty_pending; /* the transmitter became empty and nobody has been told yet */
	uint8_t polls;	       /* reads of LSR without data since anything else was accessed */
	uint8_t irq;	       /* level of the interrupt line */
	uint8_t reserved[2];
};

_Static_assert(sizeof(struct serial_state) == 32, "digest: no padding");

struct serial {
	struct tt_device dev;
	struct serial_state state;
	struct tt_machine *machine;
};

static unsigned int trigger_level(const struct serial_state *s)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

static unsigned int fifo_size(const struct serial_state *s)
{
	return s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

/* The most urgent interrupt, as IIR shows it. */
static uint8_t interrupt_id(const struct serial_state *s)
{
	if ((s->ier & IER_LINE) && s->overrun)
		return IIR_LINE;
	if ((s->ier & IER_RECEIVED) && s->count >= trigger_level(s))
		return IIR_RECEIVED;
	if ((s->ier & IER_RECEIVED) && s->count)
		return IIR_TIMEOUT;
	if ((s->ier & IER_EMPTY) && s->empty_pending)
		return IIR_EMPTY;
	if ((s->ier & IER_MODEM) && (s->msr & 0x0f))
		return IIR_MODEM;
	return IIR_NONE;
}

static void update_irq(struct serial *serial)
{
	struct serial_state *s = &serial->state;
	/* On a PC, OUT2 connects the interrupt; in loopback it is disconnected. */
	bool connected = (s->mcr & (MCR_OUT2 | MCR_LOOPBACK)) == MCR_OUT2;
	uint8_t level = connected && interrupt_id(s) != IIR_NONE;

	if (level == s->irq)
		return;
	s->irq = level;
	tt_irq_set(serial->machine, SERIAL_GSI, level);
}

static void receive(struct serial_state *s, uint8_t byte)
{
	if (s->count >= fifo_size(s)) {
		s->overrun = 1;
		return;
	}
	s->fifo[(s->head + s->count++) % FIFO_SIZE] = byte;
}

static uint8_t take_received(struct serial_state *s)
{
	uint8_t byte;

	if (!s->count)
		return 0;
	byte = s->fifo[s->head];
	s->head = (s->head + 1) % FIFO_SIZE;
	s->count--;
	return byte;
}

static void transmit(struct serial *serial, uint8_t byte)
{
	struct serial_state *s = &serial->state;
	struct tt_machine *m = serial->machine;

	if (s->mcr & MCR_LOOPBACK)
		receive(s, byte);
	else if (m->console_write)
		m->console_write(m->console_ctx, &byte, 1);
	s->empty_pending = 1;
}

/*
 * The modem lines: somebody is always there; in loopback they are our own. Keeps track of what has
 * changed.
 */
static void update_modem(struct serial_state *s)
{
	uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD, changed;

	if (s->mcr & MCR_LOOPBACK)
		lines = (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
			(s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
	changed = (s->msr ^ lines) & 0xf0;
	if (changed & MSR_RI & lines)
		changed &= ~MSR_RI; /* only the trailing edge counts */
	s->msr = lines | (s->msr & 0x0f) | changed >> 4;
}

static uint8_t read_register(struct serial *serial, unsigned int reg)
{
	struct serial_state *s = &serial->state;
	uint8_t value;

	if (reg != REG_LSR)
		s->polls = 0;
	switch (reg) {
	case REG_DATA:
		return s->lcr & LCR_DLAB ? s->divisor & 0xff : take_received(s);
	case REG_IER:
		return s->lcr & LCR_DLAB ? s->divisor >> 8 : s->ier;
	case REG_FCR_IIR:
		value = interrupt_id(s);
		if (value == IIR_EMPTY)
			s->empty_pending = 0;
		return value | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		value = LSR_EMPTY | (s->count ? LSR_DATA : 0) | (s->overrun ? LSR_OVERRUN : 0);
		s->overrun = 0;
		if (!s->count && s->polls < POLLS_TO_LISTEN)
			s->polls++;
		return value;
	case REG_MSR:
		value = s->msr;
		s->msr &= 0xf0;
		return value;
	default:
		return s->scratch;
	}
}

static void write_fcr(struct serial_state *s, uint8_t value)
{
	/*
	 * Switching the FIFO off empties it. Switching it on would on the chip as well, but Linux
	 * enables the received-data interrupt just before, and whoever types blindly would lose a
	 * byte.
	 */
	if ((value & FCR_CLEAR_RX) || (s->fcr & ~value & FCR_ENABLE))
		s->count = s->head = 0;
	s->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
}

static void write_register(struct serial *serial, unsigned int reg, uint8_t value)
{
	struct serial_state *s = &serial->state;

	s->polls = 0;
	switch (reg) {
	case REG_DATA:
		if (s->lcr & LCR_DLAB)
			s->divisor = (s->divisor & 0xff00) | value;
		else
			transmit(serial, value);
		break;
	case REG_IER:
		if (s->lcr & LCR_DLAB) {
			s->divisor = (s->divisor & 0xff) | value << 8;
			break;
		}
		/*
		 * Enabling it while the transmitter is empty raises it: drivers start to send that
		 * way.
		 */
		if ((value & IER_EMPTY) && !(s->ier & IER_EMPTY))
			s->empty_pending = 1;
		s->ier = value & 0x0f;
		break;
	case REG_FCR_IIR:
		write_fcr(s, value);
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		s->mcr = value & 0x1f;
		update_modem(s);
		break;
	case REG_SCRATCH:
		s->scratch = value;
		break;
	}
}

static void serial_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct serial *serial = ctx;
	uint8_t *bytes = data;
	unsigned int i;

	for (i = 0; i < len; i++)
		bytes[i] = read_register(serial, (addr + i) & 7);
	update_irq(serial);
}

static void serial_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct serial *serial = ctx;
	const uint8_t *bytes = data;
	unsigned int i;

	for (i = 0; i < len; i++)
		write_register(serial, (addr + i) & 7, bytes[i]);
	update_irq(serial);
}

static size_t serial_room(void *ctx)
{
	const struct serial *serial = ctx;
	const struct serial_state *s = &serial->state;
	bool listening =
		((s->ier & IER_RECEIVED) && (s->mcr & MCR_OUT2)) || s->polls >= POLLS_TO_LISTEN;

	if (!listening || (s->mcr & MCR_LOOPBACK) || s->count >= fifo_size(s))
		return 0;
	return fifo_size(s) - s->count;
}

static void serial_deliver(void *ctx, const void *data, size_t len)
{
	struct serial *serial = ctx;
	const uint8_t *bytes = data;
	size_t i;

	for (i = 0; i < len; i++)
		receive(&serial->state, bytes[i]);
	update_irq(serial);
}

static void serial_reset(struct tt_device *dev)
{
	struct serial *serial = (struct serial *)dev;
	struct serial_state *s = &serial->state;

	if (s->irq)
		tt_irq_set(serial->machine, SERIAL_GSI, false);
	memset(s, 0, sizeof(*s));
	s->divisor = 12; /* 9600 baud */
	s->lcr = 3;
	s->msr = MSR_CTS | MSR_DSR | MSR_DCD;
}

static void serial_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_serial_create(struct tt_machine *m, struct tt_error *err)
{
	struct serial *serial = calloc(1, sizeof(*serial));
	struct tt_input input = { .room = serial_room, .deliver = serial_deliver, .ctx = serial };
	int ret;

	if (!serial)
		return tt_fail(err, -ENOMEM, "out of memory");
	serial->machine = m;
	serial->dev = (struct tt_device){
		.name = "serial0",
		.state = &serial->state,
		.state_size = sizeof(serial->state),
		.reset = serial_reset,
		.destroy = serial_destroy,
	};
	serial_reset(&serial->dev);
	tt_device_add(m, &serial->dev);
	tt_input_register(m, TT_INPUT_SERIAL0, &input);
	ret = tt_bus_add_pio(m, SERIAL_PORT, 8, serial_read, serial_write, serial);
	return ret ? tt_fail(err, ret, "serial0: its ports are taken") : 0;
}
