// SPDX-License-Identifier: GPL-2.0
/*
 * rtc.c - the real-time clock and CMOS memory at 0x70 and 0x71: a Motorola MC146818A, interrupt 8.
 *
 * The clock does not run: its time is config.wall_clock plus the virtual seconds since. It advances
 * by whole seconds; around each advance the UIP bit is up as long as on the chip. Setting the clock
 * moves `base`, the time of day at virtual time 0 of the second counter. While the SET bit stops
 * the clock, registers are what the guest wrote.
 *
 * Flags (update ended, alarm) are worked out when somebody looks or when their interrupt is
 * enabled, so that a clock that nobody listens to has no timers.
 */
#include <stdlib.h>

#include "devices.h"

#define RTC_GSI	   8
#define PORT_INDEX 0x70
#define PORT_DATA  0x71
#define CMOS_SIZE  128

enum {
	REG_SECONDS,
	REG_SECONDS_ALARM,
	REG_MINUTES,
	REG_MINUTES_ALARM,
	REG_HOURS,
	REG_HOURS_ALARM,
	REG_WEEKDAY,
	REG_DAY,
	REG_MONTH,
	REG_YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D,
	REG_CENTURY = 0x32, /* the FADT says so */
};

#define A_UIP	     0x80
#define A_DIVIDER    0x70
#define A_DIVIDER_ON 0x20 /* a 32768 Hz crystal; all else holds the clock */
#define A_RATE	     0x0f

#define B_24H	   0x02
#define B_BINARY   0x04
#define B_UPDATE   0x10 /* interrupt enables; same bits as the flags in C */
#define B_ALARM	   0x20
#define B_PERIODIC 0x40
#define B_SET	   0x80

#define C_UPDATE   0x10
#define C_ALARM	   0x20
#define C_PERIODIC 0x40
#define C_IRQ	   0x80

#define D_VALID 0x80

#define ALARM_ANY 0xc0 /* alarm bytes from here on match everything */
#define HOURS_PM  0x80

/* UIP rises 244 us before an update, which then takes 248 us. */
#define UIP_NS 492000

#define SECONDS_PER_DAY 86400

struct rtc_state {
	struct tt_periodic periodic;
	uint64_t deadline; /* of the next update or alarm that has its interrupt enabled */
	uint64_t zero;	   /* virtual time of second 0: seconds advance at zero + n * tsc_hz */
	int64_t base;	   /* time of day, seconds since the epoch, at second 0 */
	uint64_t looked;   /* the second up to which the flags are worked out */
	uint8_t cmos[CMOS_SIZE]; /* time registers count while the clock is stopped only */
	uint8_t index;
	uint8_t irq; /* level of the interrupt line */
	uint8_t reserved[6];
};

_Static_assert(sizeof(struct rtc_state) == 24 + 32 + CMOS_SIZE + 8, "digest: no padding");

struct rtc {
	struct tt_device dev;
	struct rtc_state state;
	struct tt_machine *machine;
};

struct civil {
	int64_t year;
	unsigned int month, day, weekday; /* weekday 0: Sunday */
	unsigned int hour, minute, second;
};

/* ------------------------------------------------------------------ calendar: Gregorian, UTC */

static int64_t days_from_civil(int64_t year, unsigned int month, unsigned int day)
{
	/* Years begin in March, so that the leap day is the last of them. */
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (int64_t)((month + 9) % 12) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

static void civil_from_seconds(int64_t seconds, struct civil *c)
{
	int64_t days = seconds / SECONDS_PER_DAY, rest = seconds % SECONDS_PER_DAY;
	int64_t era, day_of_era, year_of_era, day_of_year, month;

	if (rest < 0) {
		rest += SECONDS_PER_DAY;
		days--;
	}
	c->hour = rest / 3600;
	c->minute = rest / 60 % 60;
	c->second = rest % 60;
	c->weekday = ((days + 4) % 7 + 7) % 7;
	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	day_of_era = days - era * 146097;
	year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	month = (5 * day_of_year + 2) / 153;
	c->day = day_of_year - (153 * month + 2) / 5 + 1;
	c->month = month < 10 ? month + 3 : month - 9;
	c->year = year_of_era + era * 400 + (c->month <= 2);
}

/* ------------------------------------------------------------------ the clock */

static bool clock_stopped(const struct rtc_state *s)
{
	return (s->cmos[REG_B] & B_SET) || (s->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_ON;
}

/* Number of the current second. */
static uint64_t current_second(const struct rtc *rtc, uint64_t now)
{
	return (now - rtc->state.zero) / rtc->machine->config.tsc_hz;
}

static uint64_t time_of_second(const struct rtc *rtc, uint64_t second)
{
	/* Wraps on purpose: second 0 may lie before virtual time 0. */
	return rtc->state.zero + tt_scale(second, rtc->machine->config.tsc_hz, 1);
}

static uint8_t encode(const struct rtc_state *s, unsigned int value)
{
	return s->cmos[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10;
}

static unsigned int decode(const struct rtc_state *s, uint8_t value)
{
	return s->cmos[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 0xf);
}

static uint8_t encode_hour(const struct rtc_state *s, unsigned int hour)
{
	if (s->cmos[REG_B] & B_24H)
		return encode(s, hour);
	return encode(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOURS_PM : 0);
}

static unsigned int decode_hour(const struct rtc_state *s, uint8_t value)
{
	if (s->cmos[REG_B] & B_24H)
		return decode(s, value);
	return decode(s, value & ~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

static bool is_time_register(unsigned int reg)
{
	return reg == REG_SECONDS || reg == REG_MINUTES || reg == REG_HOURS ||
	       (reg >= REG_WEEKDAY && reg <= REG_YEAR) || reg == REG_CENTURY;
}

static void registers_from_time(struct rtc_state *s, int64_t seconds)
{
	struct civil c;

	civil_from_seconds(seconds, &c);
	s->cmos[REG_SECONDS] = encode(s, c.second);
	s->cmos[REG_MINUTES] = encode(s, c.minute);
	s->cmos[REG_HOURS] = encode_hour(s, c.hour);
	s->cmos[REG_WEEKDAY] = encode(s, c.weekday + 1);
	s->cmos[REG_DAY] = encode(s, c.day);
	s->cmos[REG_MONTH] = encode(s, c.month);
	s->cmos[REG_YEAR] = encode(s, c.year % 100);
	s->cmos[REG_CENTURY] = encode(s, c.year / 100 % 100);
}

/* Whatever the guest has written there: the result is some time. */
static int64_t time_from_registers(const struct rtc_state *s)
{
	int64_t year = decode(s, s->cmos[REG_CENTURY]) * 100 + decode(s, s->cmos[REG_YEAR]);
	unsigned int month = decode(s, s->cmos[REG_MONTH]);

	return days_from_civil(year, month >= 1 && month <= 12 ? month : 1,
			       decode(s, s->cmos[REG_DAY])) *
		       SECONDS_PER_DAY +
	       decode_hour(s, s->cmos[REG_HOURS]) * 3600 + decode(s, s->cmos[REG_MINUTES]) * 60 +
	       decode(s, s->cmos[REG_SECONDS]);
}

/* Make the registers hold the current time (the clock runs: otherwise they do already). */
static void latch_time(struct rtc *rtc, uint64_t now)
{
	struct rtc_state *s = &rtc->state;

	if (!clock_stopped(s))
		registers_from_time(s, s->base + (int64_t)current_second(rtc, now));
}

/* The clock goes on from what the registers say. */
static void set_time(struct rtc *rtc, uint64_t second)
{
	struct rtc_state *s = &rtc->state;

	s->base = time_from_registers(s) - (int64_t)second;
	s->looked = second;
}

/* ------------------------------------------------------------------ flags and interrupts */

static bool alarm_matches(uint8_t alarm, unsigned int alarm_value, unsigned int value)
{
	return alarm >= ALARM_ANY || alarm_value == value;
}

/* The first second after `second` at which the alarm goes off, or UINT64_MAX if never. */
static uint64_t next_alarm(const struct rtc *rtc, uint64_t second)
{
	const struct rtc_state *s = &rtc->state;
	uint8_t hour = s->cmos[REG_HOURS_ALARM], minute = s->cmos[REG_MINUTES_ALARM];
	uint8_t sec = s->cmos[REG_SECONDS_ALARM];
	uint64_t end = second + SECONDS_PER_DAY;
	int64_t of_day = (s->base + (int64_t)++second) % SECONDS_PER_DAY;
	unsigned int step;

	if (of_day < 0)
		of_day += SECONDS_PER_DAY;
	for (; second <= end; second += step, of_day = (of_day + step) % SECONDS_PER_DAY) {
		if (!alarm_matches(hour, decode_hour(s, hour), of_day / 3600))
			step = 3600 - of_day % 3600;
		else if (!alarm_matches(minute, decode(s, minute), of_day / 60 % 60))
			step = 60 - of_day % 60;
		else if (!alarm_matches(sec, decode(s, sec), of_day % 60))
			step = 1;
		else
			return second;
	}
	return UINT64_MAX;
}

static void update_irq(struct rtc *rtc)
{
	struct rtc_state *s = &rtc->state;
	uint8_t *c = &s->cmos[REG_C], level;

	if (*c & s->cmos[REG_B] & (C_UPDATE | C_ALARM | C_PERIODIC))
		*c |= C_IRQ;
	else
		*c &= ~C_IRQ;
	level = *c >> 7;
	if (level == s->irq)
		return;
	s->irq = level;
	tt_irq_set(rtc->machine, RTC_GSI, level);
}

/* Bring the flags of C up to now. */
static void work_out_flags(struct rtc *rtc, uint64_t now)
{
	struct rtc_state *s = &rtc->state;
	uint64_t second = current_second(rtc, now);

	if (clock_stopped(s) || second <= s->looked)
		return;
	s->cmos[REG_C] |= C_UPDATE;
	if (next_alarm(rtc, s->looked) <= second)
		s->cmos[REG_C] |= C_ALARM;
	s->looked = second;
}

/* Registers that decide about the next update or alarm interrupt have changed. */
static void update_deadline(struct rtc *rtc)
{
	struct rtc_state *s = &rtc->state;
	uint64_t second = UINT64_MAX;

	if (!clock_stopped(s)) {
		if (s->cmos[REG_B] & B_ALARM)
			second = next_alarm(rtc, s->looked);
		if (s->cmos[REG_B] & B_UPDATE)
			second = s->looked + 1;
	}
	s->deadline = second == UINT64_MAX ? TT_TIME_NEVER : time_of_second(rtc, second);
}

static void second_fire(void *ctx, uint64_t now)
{
	struct rtc *rtc = ctx;

	work_out_flags(rtc, now);
	update_deadline(rtc);
	update_irq(rtc);
}

/* Period of the periodic interrupt in 1/32768 s, 0 when off. */
static unsigned int periodic_clocks(const struct rtc_state *s)
{
	unsigned int rate = s->cmos[REG_A] & A_RATE;

	if (!rate || (s->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_ON)
		return 0;
	return 1u << ((rate <= 2 ? rate + 7 : rate) - 1);
}

static void update_periodic(struct rtc *rtc, uint64_t now)
{
	struct rtc_state *s = &rtc->state;
	unsigned int clocks = periodic_clocks(s);

	if (!clocks || !(s->cmos[REG_B] & B_PERIODIC))
		s->periodic = (struct tt_periodic){ .deadline = TT_TIME_NEVER };
	else
		tt_periodic_start(rtc->machine, &s->periodic, now,
				  clocks * rtc->machine->config.tsc_hz, 32768);
}

static void periodic_fire(void *ctx, uint64_t now)
{
	struct rtc *rtc = ctx;
	struct rtc_state *s = &rtc->state;

	tt_periodic_advance(rtc->machine, &s->periodic,
			    periodic_clocks(s) * rtc->machine->config.tsc_hz, 32768, now);
	s->cmos[REG_C] |= C_PERIODIC;
	update_irq(rtc);
}

/* ------------------------------------------------------------------ registers */

static uint8_t read_a(const struct rtc *rtc, uint64_t now)
{
	const struct rtc_state *s = &rtc->state;
	uint64_t hz = rtc->machine->config.tsc_hz;
	uint64_t into_second = (now - s->zero) % hz;

	if (!clock_stopped(s) && hz - into_second <= tt_ticks_from_ns(rtc->machine, UIP_NS))
		return s->cmos[REG_A] | A_UIP;
	return s->cmos[REG_A];
}

static uint8_t read_register(struct rtc *rtc)
{
	struct rtc_state *s = &rtc->state;
	unsigned int reg = s->index;
	uint64_t now = tt_machine_now(rtc->machine);
	uint8_t value;

	switch (reg) {
	case REG_A:
		return read_a(rtc, now);
	case REG_C:
		work_out_flags(rtc, now);
		update_irq(rtc);
		value = s->cmos[REG_C];
		s->cmos[REG_C] = 0;
		update_irq(rtc);
		update_deadline(rtc);
		return value;
	case REG_D:
		return D_VALID;
	default:
		if (is_time_register(reg))
			latch_time(rtc, now);
		return s->cmos[reg];
	}
}

static void write_control(struct rtc *rtc, unsigned int reg, uint8_t value, uint64_t now)
{
	struct rtc_state *s = &rtc->state;
	bool was_stopped = clock_stopped(s);

	latch_time(rtc, now);
	if (reg == REG_B && (value & B_SET))
		value &= ~B_UPDATE;
	if (reg == REG_B) {
		unsigned int changed = s->cmos[REG_B] ^ value;

		s->cmos[REG_B] = value;
		/* A running clock shows its time in the new data mode from now on. */
		if (changed & B_PERIODIC)
			update_periodic(rtc, now);
	} else {
		s->cmos[REG_A] = value & ~A_UIP;
		update_periodic(rtc, now);
	}
	if (was_stopped && !clock_stopped(s)) {
		/* The first update comes half a second after the divider was let go. */
		if (reg == REG_A)
			s->zero = now - rtc->machine->config.tsc_hz / 2;
		set_time(rtc, current_second(rtc, now));
	}
}

static void write_register(struct rtc *rtc, uint8_t value)
{
	struct rtc_state *s = &rtc->state;
	unsigned int reg = s->index;
	uint64_t now = tt_machine_now(rtc->machine);

	if (reg == REG_C || reg == REG_D)
		return;
	work_out_flags(rtc, now);
	if (reg == REG_A || reg == REG_B) {
		write_control(rtc, reg, value, now);
	} else if (is_time_register(reg)) {
		latch_time(rtc, now);
		s->cmos[reg] = value;
		if (!clock_stopped(s))
			set_time(rtc, current_second(rtc, now));
	} else {
		s->cmos[reg] = value;
	}
	update_irq(rtc);
	update_deadline(rtc);
}

static void rtc_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct rtc *rtc = ctx;
	uint8_t *bytes = data;
	unsigned int i;

	for (i = 0; i < len; i++)
		bytes[i] = addr + i == PORT_DATA ? read_register(rtc) : 0xff;
}

static void rtc_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct rtc *rtc = ctx;
	const uint8_t *bytes = data;
	unsigned int i;

	for (i = 0; i < len; i++) {
		if (addr + i == PORT_DATA)
			write_register(rtc, bytes[i]);
		else
			rtc->state.index = bytes[i] & (CMOS_SIZE - 1); /* bit 7: NMI mask */
	}
}

static void rtc_reset(struct tt_device *dev)
{
	struct rtc *rtc = (struct rtc *)dev;
	struct rtc_state *s = &rtc->state;

	if (s->irq)
		tt_irq_set(rtc->machine, RTC_GSI, false);
	memset(s, 0, sizeof(*s));
	s->periodic.deadline = TT_TIME_NEVER;
	s->deadline = TT_TIME_NEVER;
	s->base = rtc->machine->config.wall_clock;
	s->cmos[REG_A] = A_DIVIDER_ON | 6;
	s->cmos[REG_B] = B_24H;
	registers_from_time(s, s->base);
}

static void rtc_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_rtc_create(struct tt_machine *m, struct tt_error *err)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int ret;

	if (!rtc)
		return tt_fail(err, -ENOMEM, "out of memory");
	rtc->machine = m;
	rtc->dev = (struct tt_device){
		.name = "rtc",
		.state = &rtc->state,
		.state_size = sizeof(rtc->state),
		.reset = rtc_reset,
		.destroy = rtc_destroy,
	};
	rtc_reset(&rtc->dev);
	tt_device_add(m, &rtc->dev);
	tt_timer_add(m, &rtc->state.deadline, second_fire, rtc);
	tt_timer_add(m, &rtc->state.periodic.deadline, periodic_fire, rtc);
	ret = tt_bus_add_pio(m, PORT_INDEX, 2, rtc_read, rtc_write, rtc);
	return ret ? tt_fail(err, ret, "rtc: its ports are taken") : 0;
}
