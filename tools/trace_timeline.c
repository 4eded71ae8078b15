// SPDX-License-Identifier: GPL-2.0
/*
 * trace_timeline.c - see trace_timeline.h. Every entry has the instruction at which it happened: `ttvm debug
 * --to-instr` goes there.
 */
#include <string.h>

#include "event_text.h"
#include "trace_timeline.h"
#include "vmm.h"

static uint64_t now_ns(const struct trace_timeline *t)
{
	return tt_ticks_to_ns(t->machine, tt_machine_now(t->machine));
}

static uint64_t here(const struct trace_timeline *t)
{
	const struct tt_seam *seam = t->machine->seam;

	return seam->ops->instructions((struct tt_seam *)seam, &t->machine->vcpus[0]);
}

/* ------------------------------------------------------------------ the log's events */

static json_t *event_args(uint64_t number, const struct tt_event *event, uint64_t instructions)
{
	json_t *args = json_pack("{s:I}", "event", (json_int_t)number);

	if (instructions)
		json_object_set_new(args, "instr", json_integer((json_int_t)instructions));
	if (event->kind == TT_EVENT_SYNC || event->kind == TT_EVENT_INPUT)
		json_object_set_new(args, "vector", event->vector == TT_VECTOR_NONE ? json_null() :
										      json_integer(event->vector));
	if (event->kind == TT_EVENT_INPUT) {
		json_object_set_new(args, "input", json_string(input_name(event->input_id)));
		json_object_set_new(args, "bytes", json_integer(event->payload_len));
	}
	if (event->kind == TT_EVENT_END)
		json_object_set_new(args, "how", json_string(end_name(event->end.how)));
	return args;
}

/* A mark's own moment and name. False: it has none. */
static bool read_mark(const struct tt_event *event, struct tt_mark *mark, char name[TT_MARK_NAME_MAX + 1])
{
	size_t len;

	if (event->kind != TT_EVENT_MARK || event->payload_len <= sizeof(*mark) ||
	    event->payload_len > sizeof(*mark) + TT_MARK_NAME_MAX)
		return false;
	memcpy(mark, event->payload, sizeof(*mark));
	len = event->payload_len - sizeof(*mark);
	memcpy(name, (const char *)event->payload + sizeof(*mark), len);
	name[len] = '\0';
	return true;
}

static void put_event(struct trace_timeline *t, uint64_t number, const struct tt_event *event, uint64_t ns,
		      uint64_t instructions)
{
	char name[TT_MARK_NAME_MAX + 6] = "mark ";
	struct tt_mark mark;

	t->events++;
	/* Told of at the event before, which is earlier; what follows is later. */
	if (read_mark(event, &mark, name + 5)) {
		perfetto_instant(t->perfetto, PERFETTO_EVENTS, mark.time, name,
				 event_args(number, event, mark.instructions));
		return;
	}
	perfetto_instant(t->perfetto, PERFETTO_EVENTS, ns, event_kind_name(event->kind),
			 event_args(number, event, instructions));
}

static void witness_event(void *ctx, struct tt_vcpu *vcpu, uint64_t number, const struct tt_event *event)
{
	struct trace_timeline *t = ctx;

	(void)vcpu;
	put_event(t, number, event, now_ns(t), here(t));
}

int timeline_from_log(struct trace_timeline *t, struct tt_log *log, uint64_t tsc_hz, struct tt_error *err)
{
	uint64_t ticks = 0, number, ns;
	struct tt_event event;
	int ret;

	for (number = 0; (ret = tt_log_next(log, 0, &event, err)) > 0; number++) {
		ticks += event.rebase;
		ns = (unsigned __int128)ticks * 1000000000 / tsc_hz;
		put_event(t, number, &event, ns, event.pos.instructions);
		if ((event.kind == TT_EVENT_SYNC || event.kind == TT_EVENT_INPUT) && event.vector != TT_VECTOR_NONE) {
			char name[32];

			t->interrupts++;
			snprintf(name, sizeof(name), "vector %d", event.vector);
			perfetto_instant(t->perfetto, PERFETTO_INTERRUPTS, ns, name,
					 event_args(number, &event, event.pos.instructions));
		}
	}
	return ret;
}

/* ------------------------------------------------------------------ what a replay shows */

static void witness_interrupt(void *ctx, struct tt_vcpu *vcpu, unsigned int vector)
{
	struct trace_timeline *t = ctx;
	char name[32];

	(void)vcpu;
	t->interrupts++;
	snprintf(name, sizeof(name), "vector %u", vector);
	perfetto_instant(t->perfetto, PERFETTO_INTERRUPTS, now_ns(t), name,
			 json_pack("{s:I, s:i}", "instr", (json_int_t)here(t), "vector", vector));
}

static void exit_name(const struct kvm_run *run, char name[64])
{
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		snprintf(name, 64, "%s 0x%x", run->io.direction == KVM_EXIT_IO_OUT ? "out" : "in", run->io.port);
		break;
	case KVM_EXIT_MMIO:
		snprintf(name, 64, "mmio %s 0x%llx", run->mmio.is_write ? "write" : "read", run->mmio.phys_addr);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		snprintf(name, 64, "%s 0x%x", run->exit_reason == KVM_EXIT_X86_RDMSR ? "rdmsr" : "wrmsr", run->msr.index);
		break;
	case KVM_EXIT_HLT:
		snprintf(name, 64, "hlt");
		break;
	default:
		snprintf(name, 64, "KVM exit %u", run->exit_reason);
	}
}

static void witness_exit(void *ctx, struct tt_vcpu *vcpu)
{
	struct trace_timeline *t = ctx;
	char name[64];

	t->exits++;
	exit_name(vcpu->run, name);
	perfetto_instant(t->perfetto, PERFETTO_EXITS, now_ns(t), name,
			 json_pack("{s:I, s:I}", "instr", (json_int_t)here(t), "exit", (json_int_t)vcpu->exits));
}

static void put_idle(struct trace_timeline *t)
{
	if (!t->idle_to)
		return;
	t->halts++;
	perfetto_slice(t->perfetto, PERFETTO_VCPU, t->idle_from, t->idle_to - t->idle_from, "halted",
		       json_pack("{s:I}", "instr", (json_int_t)t->idle_instructions));
	t->idle_to = 0;
}

/* A halt that several events interrupt without ending it is one. */
static void witness_idle(void *ctx, struct tt_vcpu *vcpu, uint64_t since)
{
	struct trace_timeline *t = ctx;
	uint64_t from = tt_ticks_to_ns(t->machine, since);

	(void)vcpu;
	if (t->idle_to != from)
		put_idle(t);
	if (!t->idle_to) {
		t->idle_from = from;
		t->idle_instructions = here(t);
	}
	t->idle_to = now_ns(t);
}

static void put_line(struct timeline_line *line)
{
	struct trace_timeline *t = line->timeline;

	if (!line->len)
		return;
	line->text[line->len] = '\0';
	line->len = 0;
	perfetto_instant(t->perfetto, PERFETTO_CONSOLE, line->ns, line->text,
			 json_pack("{s:I, s:s}", "instr", (json_int_t)line->instructions, "device",
				   line == &t->lines[0] ? "serial0" : "console0"));
}

static void console(void *ctx, const void *data, size_t len)
{
	struct timeline_line *line = ctx;
	const char *text = data;
	size_t i;

	for (i = 0; i < len; i++) {
		if (text[i] == '\r')
			continue;
		if (text[i] == '\n' || line->len == sizeof(line->text) - 1)
			put_line(line);
		if (text[i] == '\n')
			continue;
		if (!line->len) {
			line->ns = now_ns(line->timeline);
			line->instructions = here(line->timeline);
		}
		line->text[line->len++] = text[i];
	}
}

static void disk(void *ctx, const struct tt_disk_request *request)
{
	struct trace_timeline *t = ctx;

	perfetto_instant(t->perfetto, PERFETTO_DISK + request->index, now_ns(t), request->what,
			 json_pack("{s:I, s:I, s:I, s:b}", "instr", (json_int_t)here(t), "sector",
				   (json_int_t)request->sector, "bytes", (json_int_t)request->sectors * 512, "failed",
				   request->failed));
}

void timeline_frame(struct trace_timeline *t, unsigned int index, bool to_guest, size_t len)
{
	perfetto_instant(t->perfetto, PERFETTO_NET + index, now_ns(t), to_guest ? "to the guest" : "from the guest",
			 json_pack("{s:I, s:I}", "instr", (json_int_t)here(t), "bytes", (json_int_t)len));
}

/* ------------------------------------------------------------------ life */

void timeline_init(struct trace_timeline *t, struct perfetto *perfetto)
{
	*t = (struct trace_timeline){
		.perfetto = perfetto,
		.witness = { .event = witness_event, .interrupt = witness_interrupt, .exit = witness_exit,
			     .idle = witness_idle, .ctx = t },
	};
	t->lines[0].timeline = t->lines[1].timeline = t;
}

void timeline_begin(struct trace_timeline *t, struct tt_machine *m)
{
	timeline_init(t, t->perfetto);
	perfetto_restart(t->perfetto);
	t->machine = m;
	m->console_write = console;
	m->console_ctx = &t->lines[0];
	m->console0_write = console;
	m->console0_ctx = &t->lines[1];
	m->disk_tap = disk;
	m->disk_tap_ctx = t;
}

void timeline_end(struct trace_timeline *t)
{
	put_idle(t);
	put_line(&t->lines[0]);
	put_line(&t->lines[1]);
}
