/* SPDX-License-Identifier: GPL-2.0 */
/*
 * replay.h - recording a machine and replaying it: the two seams, and what tools need around them. With ttvm/log.h the
 * public header of replay/.
 *
 * A recording run: tt_recorder_create(), tt_machine_create() with its seam, tt_machine_run(), tt_recorder_finish().
 * A replay:        tt_replayer_create(), tt_machine_create() with tt_config_load()'s configuration, tt_machine_run(),
 *                  tt_replayer_result().
 */
#ifndef TTVM_REPLAY_H
#define TTVM_REPLAY_H

#include "ttvm/log.h"
#include "ttvm/position.h"
#include "history.h"
#include "vmm.h"

/* ------------------------------------------------------------------ pmu.c: which events count what, per CPU */

enum tt_erratum {
	TT_ERRATUM_SPEC_LOCK_MAP = 1,	/* branches next to locked accesses are over-counted */
	TT_ERRATUM_LS_CFG_SHARED = 2,	/* what switches SpecLockMap off may be undone at context switches */
	TT_ERRATUM_SMI = 4,		/* system management interrupts move the counters */
};

struct tt_pmu {
	const char *name;	/* microarchitecture */
	uint64_t branch_event;	/* raw perf config: retired conditional branches */
	uint64_t instr_event;	/* raw perf config: retired instructions */
	uint64_t skid;		/* how many branches late an alarm can be */
	unsigned int errata;	/* enum tt_erratum: what may spoil the counts, if nobody does something about it */
	bool exact_instructions; /* instr_event never counts an instruction twice around a VM exit */
};

/* Of a CPU, by what CPUID says: "AuthenticAMD", family and model with their extensions. NULL: not known to count exactly. */
const struct tt_pmu *tt_pmu_of(const char *vendor, unsigned int family, unsigned int model);
/* This machine's, or NULL with err filled in when its PMU is not known to count exactly. */
const struct tt_pmu *tt_pmu_find(struct tt_error *err);

/* ------------------------------------------------------------------ config.c: a machine's configuration in a log */

#define TT_RECORDING_ID_SIZE 37

/* A new, unique id for a recording: a UUID in text. */
void tt_recording_new_id(char id[TT_RECORDING_ID_SIZE]);

/* Where a recording that was forked from another one has left it. */
struct tt_origin {
	char id[TT_RECORDING_ID_SIZE];	/* of the other one; "" for none */
	uint64_t instructions;		/* that the two have in common */
};

/* What a log's header carries beside the machine's configuration. */
struct tt_recording_facts {
	char id[TT_RECORDING_ID_SIZE];
	struct tt_origin origin;
	struct tt_disk_source disks[TT_MAX_DISKS];	/* config.num_disks of them */
	uint8_t macs[TT_MAX_NETS][6];			/* config.num_nets of them */
	char host_kernel[96];
	char host_cpu[96];
	char ttvm_version[32];
	uint64_t started;	/* seconds since the epoch */
	bool exact_instructions; /* struct tt_pmu of the recording machine */
};

#define TT_MAX_CONFIG_SECTIONS 8

/*
 * The header sections of a recording of a machine with this configuration. id, origin and disks are as in struct
 * tt_recorder_options. *json is allocated, the sections point into it and into config; both must outlive the writer.
 * Returns their number or -errno.
 */
int tt_config_save(const struct tt_machine_config *config, const char *id, const struct tt_origin *origin,
		   const struct tt_disk_source *disks, struct tt_log_section *sections, char **json,
		   struct tt_error *err);
/*
 * The configuration from a log's header. Its pointers live as long as the log; command_line as long as *json. Disks and
 * networks are counted, but not open: see tt_outside_open().
 */
int tt_config_load(struct tt_log *log, struct tt_machine_config *config,
		   struct tt_recording_facts *facts, char **json, struct tt_error *err);

/* ------------------------------------------------------------------ outside.c: a replay's disks and networks */

/*
 * Open what config counts: disks as they were at the start of the recording, networks with nobody at the other end. paths:
 * where the disks' histories are now, num_paths of them, or none: where they were, or in the folder of the log.
 */
int tt_outside_open(struct tt_machine_config *config, const struct tt_recording_facts *facts,
		    const char *log_path, const char *const *paths, unsigned int num_paths,
		    struct tt_error *err);
/* Close all disks and networks of the configuration, whoever opened them. */
void tt_outside_close(struct tt_machine_config *config);

/* ------------------------------------------------------------------ digests */

/* What two runs are compared by at a position. */
struct tt_digests {
	uint64_t registers;
	uint64_t memory;
	uint64_t devices;
};

/* All three in one word, as printed by `digest=`. */
uint64_t tt_digests_combine(const struct tt_digests *digests);

/* ------------------------------------------------------------------ recording */

struct tt_recorder_options {
	const char *path;
	const char *id;		/* of the recording: tt_recording_new_id() */
	const struct tt_disk_source *disks; /* config.num_disks of them */
	struct tt_origin origin; /* of a fork; else zero */
	struct tt_log_options log;
	bool run_on;		/* the guest runs on, unrecorded, when the log cannot be written any more */
	double digest_seconds;	/* log a digest of everything this often; 0: at the end only */
	/* Checkpoints for who will move about in the recording (timeline.h). Not for a recorder that takes over. */
	double checkpoint_seconds; /* of the guest's time between them; 0: none */
	uint64_t checkpoint_bytes; /* that they may take; 0: TT_CHECKPOINT_BYTES */
};

#define TT_CHECKPOINT_BYTES (512ull << 20)
/* The file beside a log in which its checkpoints are kept has this behind the log's name. */
#define TT_CHECKPOINT_SUFFIX ".checkpoints"

struct tt_run_counts {
	uint64_t instructions;
	uint64_t branches;
	uint64_t events;
	uint64_t exits;			/* deterministic */
	uint64_t vm_exits;		/* all */
	uint64_t rdtsc;			/* answered in the kernel */
	uint64_t kicks;			/* recorder: looks because of a signal */
	uint64_t not_landable;		/* recorder: positions refused for an injection */
	uint64_t windows;		/* recorder: interrupt windows asked for */
	uint64_t landings;		/* replayer: positions reached by breakpoint */
	uint64_t breakpoint_hits;	/* replayer: swallowed by the module on the way */
	uint64_t alarms;
	uint64_t alarms_late;
	uint64_t exits_by_reason[256];	/* ttvm_page.exits_by_reason */
};

struct tt_recorder_result {
	struct tt_run_counts counts;
	struct tt_digests digests;
	struct tt_log_stats log;
	int log_error;			/* 0, or the -errno that ended the recording early */
	unsigned int checkpoints;	/* that are in the file */
	struct tt_error checkpoint_error; /* why there are none, or no more */
};

struct tt_recorder;
struct tt_replayer;

/* Creates the log. config is what the machine will be created with. */
int tt_recorder_create(const struct tt_recorder_options *options,
		       const struct tt_machine_config *config, struct tt_recorder **recorder,
		       struct tt_error *err);
struct tt_seam *tt_recorder_seam(struct tt_recorder *recorder);
/*
 * Going live from the past: a recorder may begin with another recording's events, and take the machine over from the
 * replayer that has replayed them. What it writes is a recording from the start, like any other.
 *
 * tt_recorder_copy() takes the events one by one (struct tt_witness.event); 0, or the -errno for which no more
 * can be recorded. tt_recorder_take_over() is called in tt_replayer_options.stopped, which then returns true, when the goal is
 * reached; the replayer is not part of the machine any more. 0, or -errno and machine->error, and the machine must end.
 */
int tt_recorder_copy(struct tt_recorder *recorder, const struct tt_event *event);
int tt_recorder_take_over(struct tt_recorder *recorder, struct tt_replayer *replayer, struct tt_vcpu *vcpu);
/* In a visit (tt_machine_visit()): give this moment a name of 1..TT_MARK_NAME_MAX bytes. 0, -EINVAL, or the -errno that
 * ended the recording. */
int tt_recorder_mark(struct tt_recorder *recorder, struct tt_vcpu *vcpu, const char *name);
/* In a visit: how far it is. */
void tt_recorder_progress(struct tt_recorder *recorder, uint64_t *events, struct tt_log_stats *log);
/* After tt_machine_run(): close the log. Returns 0 or the -errno that ended the recording early. */
int tt_recorder_finish(struct tt_recorder *recorder, struct tt_recorder_result *result,
		       struct tt_error *err);
/* Frees; closes the log when tt_recorder_finish() was not called. Before tt_machine_destroy(), if that was not called. */
void tt_recorder_destroy(struct tt_recorder *recorder);

/* ------------------------------------------------------------------ replaying */

enum tt_goal_kind {
	TT_GOAL_END,		/* the end of the log */
	TT_GOAL_INSTRUCTION,	/* after exactly this many instructions */
	TT_GOAL_EVENT,		/* before event number `value` (from 0) takes effect */
	TT_GOAL_BEYOND,		/* soon after so many instructions */
};

struct tt_goal {
	enum tt_goal_kind kind;
	uint64_t value;
};

/*
 * Somebody who writes down what happens in a replay. Calls are made on the vCPU's thread, with the device lock and the
 * vCPU as the machine's current one: tt_machine_now() and the seam's instructions() say when it is. They must change
 * nothing. Each may be NULL.
 */
struct tt_witness {
	/* Event number `number` of the log has taken effect; its position is whole. A mark is told of early, and knows its moment itself. */
	void (*event)(void *ctx, struct tt_vcpu *vcpu, uint64_t number, const struct tt_event *event);
	/* The next VM entry delivers this vector: because of an event, or of a device at a deterministic exit. */
	void (*interrupt)(void *ctx, struct tt_vcpu *vcpu, unsigned int vector);
	/* A deterministic exit was served: vcpu->run says which. */
	void (*exit)(void *ctx, struct tt_vcpu *vcpu);
	/* The vCPU was halted since then (ticks), until now. */
	void (*idle)(void *ctx, struct tt_vcpu *vcpu, uint64_t since);
	void *ctx;
};

/*
 * Single steps that were lost because the instruction raised an exception that nobody had thought likely, and where to look
 * next time. The caller's, who keeps it from one try to the next; it starts as zeros.
 */
#define TT_MAX_STRAYS 64

struct tt_strays {
	unsigned int n;
	struct tt_stray {
		uint64_t at;	  /* the number of instructions before */
		unsigned int set; /* of places to watch */
	} list[TT_MAX_STRAYS];
};

struct tt_replayer_options {
	bool exact_instructions; /* of struct tt_recording_facts */
	struct tt_goal goal;
	uint64_t margin;	/* branches before an event at which the alarm is set; 0: by the PMU's skid */
	uint64_t step_to;	/* TT_GOAL_INSTRUCTION only: when > goal.value, walk on from there by single
				 * instructions to this one, calling on_step before each and at the end */
	void (*on_step)(void *ctx, struct tt_vcpu *vcpu, uint64_t instruction);
	void *on_step_ctx;
	const struct tt_witness *witness; /* borrowed; NULL: nobody looks */
	struct tt_strays *strays;
	/*
	 * For who wants to move about (timeline.c), on the vCPU's thread; or NULL. stopped: the replay has come to an
	 * outcome (tt_replayer_result()). True: it was given another goal, and goes on. pass, with the device lock: it is
	 * at tt_replayer.pass_at or behind, at a place where a checkpoint can be taken; the vCPU is settled.
	 */
	bool (*stopped)(void *ctx, struct tt_vcpu *vcpu);
	void (*pass)(void *ctx, struct tt_vcpu *vcpu);
	void *ctx;
};

enum tt_outcome {
	TT_OUTCOME_RUNNING,
	TT_OUTCOME_DONE,	/* the goal was reached, everything compared equal */
	TT_OUTCOME_DIVERGED,	/* report says where */
	TT_OUTCOME_OVERSHOT,	/* an alarm was lost or later than the margin: replay again with a larger margin,
				 * or, if it strayed, with the same */
	TT_OUTCOME_NO_GOAL,	/* the log ended before the goal */
	TT_OUTCOME_STOPPED,	/* tt_machine_request_stop() */
	TT_OUTCOME_FAILED,	/* machine->error */
};

struct tt_replayer_result {
	enum tt_outcome outcome;
	struct tt_run_counts counts;
	struct tt_digests digests;	/* at the place where it stopped, settled */
	bool digests_compared;		/* the log has an END with digests, and they were equal */
	uint64_t event;			/* number of the first differing event (DIVERGED) */
	bool strayed;			/* a step was lost, options.strays knows more now (OVERSHOT) */
	char report[4096];		/* DIVERGED: several lines */
};

/* log is borrowed. */
int tt_replayer_create(struct tt_log *log, const struct tt_replayer_options *options,
		       struct tt_replayer **replayer, struct tt_error *err);
struct tt_seam *tt_replayer_seam(struct tt_replayer *replayer);
/* Any thread, while it runs: how far it is. */
void tt_replayer_progress(struct tt_replayer *replayer, uint64_t *events, uint64_t *instructions);
/* After tt_machine_run(), before tt_machine_destroy(). */
void tt_replayer_result(struct tt_replayer *replayer, struct tt_replayer_result *result);
void tt_replayer_destroy(struct tt_replayer *replayer);

#endif /* TTVM_REPLAY_H */
