/* SPDX-License-Identifier: GPL-2.0 */
/*
 * irqchip.h - the parts of the interrupt system among themselves.
 *
 *   device --tt_irq_set()--> PIC pair --INTR--> LINT0 of the LAPIC --ExtINT--> vCPU
 *                       \--> IOAPIC --message--> LAPICs --highest vector above PPR--> vCPU
 *
 * All of it is touched by vCPU threads under the device lock only.
 */
#ifndef TTVM_IRQCHIP_H
#define TTVM_IRQCHIP_H

#include "vmm.h"

enum tt_delivery_mode {
	TT_DELIVERY_FIXED = 0,
	TT_DELIVERY_LOWEST = 1,
	TT_DELIVERY_SMI = 2,
	TT_DELIVERY_NMI = 4,
	TT_DELIVERY_INIT = 5,
	TT_DELIVERY_STARTUP = 6,
	TT_DELIVERY_EXTINT = 7,
};

struct tt_irq_message {
	uint8_t destination;
	uint8_t vector;
	enum tt_delivery_mode mode;
	bool logical;
	bool level; /* level triggered: the LAPIC reports the EOI to the IOAPIC */
};

struct tt_pic;
struct tt_ioapic;
struct tt_lapic;

/*
 * Signals that go past the interrupt controller to the vCPU itself. Set by the owner of the vCPUs;
 * while a function is NULL such messages are dropped. Called with the device lock held, possibly on
 * another vCPU's thread.
 */
struct tt_cpu_signals {
	void (*nmi)(struct tt_vcpu *vcpu);
	void (*init)(struct tt_vcpu *vcpu);		     /* wait for STARTUP */
	void (*startup)(struct tt_vcpu *vcpu, uint8_t page); /* real mode, at page << 12 */
};

struct tt_irqchip {
	struct tt_machine *machine;
	struct tt_pic *pic;
	struct tt_ioapic *ioapic;
	const struct tt_cpu_signals *signals;
	bool pic_intr; /* the INTR output of the PIC pair, derived from its state */
};

void tt_irqchip_set_cpu_signals(struct tt_machine *m, const struct tt_cpu_signals *signals);

/*
 * The guest's TSC was moved against device time: an armed TSC deadline moves with it. After
 * tt_seam_ops.set_tsc().
 */
void tt_lapic_tsc_moved(struct tt_vcpu *vcpu);

/*
 * An edge on the line now would merge with one that the guest has not taken yet. For timers whose
 * guests count ticks. False when the line is masked everywhere: nobody counts.
 */
bool tt_irq_waits(struct tt_machine *m, unsigned int gsi);

/* pic.c */
int tt_pic_create(struct tt_machine *m, struct tt_error *err);
void tt_pic_set(struct tt_pic *pic, unsigned int line, bool level);
/* The line's request is unmasked and has not been handed over. */
bool tt_pic_waits(const struct tt_pic *pic, unsigned int line);
/* Vector that the pair would hand over now, spurious ones included; and handing it over. */
uint8_t tt_pic_vector(const struct tt_pic *pic);
uint8_t tt_pic_acknowledge(struct tt_pic *pic);

/* ioapic.c */
int tt_ioapic_create(struct tt_machine *m, struct tt_error *err);
void tt_ioapic_set(struct tt_ioapic *ioapic, unsigned int pin, bool level);
/* The pin is unmasked and its last message is still a request in a LAPIC. */
bool tt_ioapic_waits(const struct tt_ioapic *ioapic, unsigned int pin);
void tt_ioapic_eoi(struct tt_ioapic *ioapic, uint8_t vector);

/* lapic.c */
int tt_lapics_create(struct tt_machine *m, struct tt_error *err);
/* To all LAPICs that the message addresses; true when one of them took it. */
bool tt_lapics_deliver(struct tt_machine *m, const struct tt_irq_message *message);
/* One of the LAPICs that the message addresses has its vector requested. */
bool tt_lapics_wait(struct tt_machine *m, const struct tt_irq_message *message);
/* The INTR output of the PIC pair has changed. */
void tt_lapics_set_lint0(struct tt_machine *m, bool level);
bool tt_lapic_takes_extint(const struct tt_lapic *lapic);
/* Highest vector that the priorities let through, or -1; and moving it to in-service. */
int tt_lapic_pending(const struct tt_lapic *lapic);
void tt_lapic_acknowledge(struct tt_lapic *lapic, uint8_t vector);

#endif /* TTVM_IRQCHIP_H */
