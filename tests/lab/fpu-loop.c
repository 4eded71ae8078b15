// SPDX-License-Identifier: GPL-2.0
/*
 * fpu-loop.c - loads the state of the FPU again and again, until it is killed.
 */
#include <stdint.h>

int main(void)
{
	static uint8_t state[512] __attribute__((aligned(16)));

	__asm__ volatile("fxsave %0" : "=m"(state));
	for (;;)
		__asm__ volatile("fxrstor %0" : : "m"(state));
}
