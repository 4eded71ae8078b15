/* SPDX-License-Identifier: GPL-2.0 */
/*
 * acpi.h - what the ACPI tables promise and the ACPI hardware keeps.
 */
#ifndef TTVM_ACPI_H
#define TTVM_ACPI_H

#include <stdint.h>

struct tt_machine;

#define TT_ACPI_S5	    5  /* SLP_TYP of power-off */
#define TT_ACPI_PORTS_SIZE  16 /* from TT_PORT_ACPI_PM1_EVENT */
#define TT_ACPI_RESET_VALUE 1  /* resets when written to TT_PORT_ACPI_RESET */

/*
 * Where tt_acpi_write_tables() puts them: TT_ACPI_TABLES_GPA; with firmware, which has its own code
 * there, the last TT_ACPI_TABLES_SIZE bytes of the RAM below 4 GiB.
 */
uint64_t tt_acpi_tables_gpa(const struct tt_machine *m);

#endif /* TTVM_ACPI_H */
