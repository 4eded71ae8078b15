/* SPDX-License-Identifier: GPL-2.0 */
/*
 * acpi.h - what the ACPI tables promise and the ACPI hardware keeps.
 */
#ifndef TTVM_ACPI_H
#define TTVM_ACPI_H

#define TT_ACPI_S5	    5  /* SLP_TYP of power-off */
#define TT_ACPI_PORTS_SIZE  16 /* from TT_PORT_ACPI_PM1_EVENT */
#define TT_ACPI_RESET_VALUE 1  /* resets when written to TT_PORT_ACPI_RESET */

#endif /* TTVM_ACPI_H */
