// SPDX-License-Identifier: GPL-2.0
/*
 * terminal.c - the user's terminal as the guest's: raw mode, and the key that is for us and not for the guest.
 */
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "ttvm.h"

/* ------------------------------------------------------------------ raw mode */

/* For the signal handler, which gets no argument. */
static struct {
	volatile sig_atomic_t raw;
	int fd;
	struct termios saved;
} terminal;

static const int fatal_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT, SIGSYS };

void terminal_restore(void)
{
	size_t i;

	if (!terminal.raw)
		return;
	terminal.raw = 0;
	tcsetattr(terminal.fd, TCSADRAIN, &terminal.saved);
	for (i = 0; i < sizeof(fatal_signals) / sizeof(fatal_signals[0]); i++)
		signal(fatal_signals[i], SIG_DFL);
}

static void die_restored(int sig)
{
	/* Not TCSADRAIN: output that is stuck must not keep us. The signal's own action follows, it was reset. */
	tcsetattr(terminal.fd, TCSANOW, &terminal.saved);
	raise(sig);
}

int terminal_raw(int fd)
{
	struct sigaction action = { .sa_handler = die_restored, .sa_flags = SA_RESETHAND | SA_NODEFER };
	struct termios raw;
	size_t i;

	/* Touching the terminal from the background would stop us. */
	if (!isatty(fd) || tcgetpgrp(fd) != getpgrp() || tcgetattr(fd, &terminal.saved) < 0)
		return -ENOTTY;
	raw = terminal.saved;
	cfmakeraw(&raw);
	/* Guests without a terminal driver send bare newlines, and so do our own messages. */
	raw.c_oflag = terminal.saved.c_oflag;
	terminal.fd = fd;
	terminal.raw = 1;
	for (i = 0; i < sizeof(fatal_signals) / sizeof(fatal_signals[0]); i++)
		sigaction(fatal_signals[i], &action, NULL);
	if (tcsetattr(fd, TCSADRAIN, &raw) < 0) {
		terminal_restore();
		return -errno;
	}
	return 0;
}

/* ------------------------------------------------------------------ the escape key */

static const char help[] = "\n"
			   "Ctrl-A x       end the run\n"
			   "Ctrl-A p       pause the guest, or let it go on\n"
			   "Ctrl-A s       say how far it is\n"
			   "Ctrl-A c       type one command: status, pause, resume, mark NAME, stop\n"
			   "Ctrl-A h       this help\n"
			   "Ctrl-A Ctrl-A  send Ctrl-A to the guest\n";

static void after_escape(struct escape *e, uint8_t key)
{
	switch (key) {
	case 'x':
		e->stop(e->ctx);
		break;
	case 'p':
		e->command(e->ctx, "toggle");
		break;
	case 's':
		e->command(e->ctx, "status");
		break;
	case 'c':
		e->prompting = true;
		e->len = 0;
		e->print(e->ctx, "\n(ttvm) ");
		break;
	case 'h':
	case '?':
		e->print(e->ctx, help);
		break;
	}
}

/* One key of the line after the prompt. */
static void edit_line(struct escape *e, uint8_t key)
{
	char echo[2] = { (char)key };

	switch (key) {
	case '\r':
	case '\n':
		e->prompting = false;
		e->line[e->len] = '\0';
		e->print(e->ctx, "\n");
		if (e->len)
			e->command(e->ctx, e->line);
		break;
	case 0x03: /* Ctrl-C */
	case 0x1b:
		e->prompting = false;
		e->print(e->ctx, "\n");
		break;
	case 0x08:
	case 0x7f:
		if (e->len) {
			e->len--;
			e->print(e->ctx, "\b \b");
		}
		break;
	default:
		if (key >= ' ' && key < 0x7f && e->len < sizeof(e->line) - 1) {
			e->line[e->len++] = (char)key;
			e->print(e->ctx, echo);
		}
	}
}

size_t escape_filter(struct escape *e, const uint8_t *in, size_t len, uint8_t *out)
{
	size_t i, kept = 0;

	for (i = 0; i < len; i++) {
		if (e->prompting) {
			edit_line(e, in[i]);
		} else if (e->escaped) {
			e->escaped = false;
			if (in[i] == ESCAPE_KEY)
				out[kept++] = in[i];
			else
				after_escape(e, in[i]);
		} else if (in[i] == ESCAPE_KEY) {
			e->escaped = true;
		} else {
			out[kept++] = in[i];
		}
	}
	return kept;
}
