/* SPDX-License-Identifier: GPL-2.0 */
/*
 * aml.h - a small emitter of ACPI Machine Language (ACPI 6.4, chapter 20) and resource descriptors
 * (chapter 6.4).
 *
 * Calls nest the way ASL does: an opening call, its contents, tt_aml_end(). Writing past the end of
 * the buffer is remembered in `overflow` instead of happening.
 */
#ifndef TTVM_AML_H
#define TTVM_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TT_AML_DEPTH 8

struct tt_aml {
	uint8_t *data;
	size_t size;
	size_t used;
	bool overflow;
	/* open constructs */
	unsigned int depth;
	struct {
		size_t at; /* of the package length, or of the buffer's length */
		bool resources;
	} open[TT_AML_DEPTH];
};

void tt_aml_scope(struct tt_aml *aml, const char *name);   /* Scope (name) { */
void tt_aml_device(struct tt_aml *aml, const char *name);  /* Device (name) { */
void tt_aml_name(struct tt_aml *aml, const char *name);	   /* Name (name, followed by the value */
void tt_aml_package(struct tt_aml *aml, uint8_t elements); /* Package (elements) { */
void tt_aml_resources(struct tt_aml *aml);		   /* ResourceTemplate () { */
void tt_aml_end(struct tt_aml *aml);			   /* } */

void tt_aml_integer(struct tt_aml *aml, uint32_t value);
void tt_aml_eisa_id(struct tt_aml *aml, const char *id); /* EisaId ("PNP0A03") */

/*
 * Inside tt_aml_resources(). Windows are what a bridge hands on: ResourceProducer, PosDecode,
 * MinFixed, MaxFixed.
 */
void tt_aml_io(struct tt_aml *aml, uint16_t base, uint8_t size);
void tt_aml_irq(struct tt_aml *aml, unsigned int irq);
void tt_aml_bus_window(struct tt_aml *aml, uint16_t first, uint16_t last);
void tt_aml_io_window(struct tt_aml *aml, uint16_t first, uint16_t last);
void tt_aml_memory_window(struct tt_aml *aml, uint32_t first, uint32_t last);

#endif /* TTVM_AML_H */
