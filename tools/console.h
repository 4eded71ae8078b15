/* SPDX-License-Identifier: GPL-2.0 */
/*
 * console.h - the guest's serial console on this side: its output (console.c), where it is connected (console_line.c), and
 * the terminal with its escape key (terminal.c).
 */
#ifndef TTVM_TOOLS_CONSOLE_H
#define TTVM_TOOLS_CONSOLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm.h"

struct control;

/* Bytes of output that wait for somebody to connect, or for a slow reader of a pty or socket; then the oldest are lost. */
#define CONSOLE_KEPT (1u << 20)

enum console_kind {
	CONSOLE_NONE,
	CONSOLE_STDIO,
	CONSOLE_FILE,
	CONSOLE_PTY,
	CONSOLE_SOCKET,
};

/* ---- terminal.c ---- */

/*
 * Put the terminal fd into raw mode: what is typed goes to the guest byte by byte, Ctrl-C included. It is set back by
 * terminal_restore(), and when this process dies of a signal that it can catch. One terminal at a time. -ENOTTY: it is
 * none, or another job's.
 */
int terminal_raw(int fd);
void terminal_restore(void);

#define ESCAPE_KEY 0x01 /* Ctrl-A */

/* What is typed after the escape key, and the line typed after its `c`. */
struct escape {
	bool escaped;
	bool prompting;
	char line[128];
	size_t len;
	void (*print)(void *ctx, const char *text);
	void (*stop)(void *ctx);
	void (*command)(void *ctx, const char *line); /* as in ttvm ctl; and "toggle": pause or resume */
	void *ctx;
};

/* Acts on what is meant for us; the rest goes to out (of the same size) and its length is returned. */
size_t escape_filter(struct escape *escape, const uint8_t *in, size_t len, uint8_t *out);

/* ---- console.c ---- */

struct console {
	enum console_kind kind;
	pthread_t writer;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	uint8_t *buffer;
	size_t used;
	size_t capacity;
	uint64_t skip;		/* bytes not to write: they were written before (a replay that starts again) */
	uint64_t written;	/* bytes that came, skipped ones included */
	uint64_t lost;		/* bytes that nobody was there to read */
	int fd;			/* -1: nobody is connected */
	bool writing;		/* the writer uses fd, without the lock */
	bool quit;
	bool started;
	bool asked_to_stop;	/* by the escape key */
	int error;
	struct console_line *line;
};

/* where: "stdio", "none", "pty", "socket:PATH", or a file's path, also "file:PATH", which is created or emptied. */
int console_open(struct console *console, const char *where, struct tt_error *err);
/* For tt_machine.console_write: any thread; never waits for the reader. */
void console_write(void *console, const void *data, size_t len);
/* Write out the rest and stop. Returns the -errno of a failed write, or 0. */
int console_close(struct console *console);

/* ---- console_line.c ---- */

/* For console_open(): connect it. For console_close(): the writer has ended. */
int console_line_open(struct console *console, const char *where, struct tt_error *err);
int console_line_close(struct console *console);
/* For the writer: 0 or -errno. Gives up when the other side has gone, or takes nothing while we want to end. */
int console_line_write(struct console *console, int fd, const uint8_t *data, size_t len);

/*
 * From now on what is typed there goes to COM1 of machine, until console_close(). A terminal goes raw; control, which may
 * be NULL, serves the commands of its escape key.
 */
int console_start_input(struct console *console, struct tt_machine *machine, struct control *control,
			struct tt_error *err);
#endif /* TTVM_TOOLS_CONSOLE_H */
