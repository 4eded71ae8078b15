/* SPDX-License-Identifier: GPL-2.0 */
/*
 * config.h - defaults of the ttvm command. They are those of the top-level Kconfig, whose .config
 * overrides them.
 */
#ifndef TTVM_TOOLS_CONFIG_H
#define TTVM_TOOLS_CONFIG_H

#ifndef CONFIG_TTVM_MEMORY_MB
#define CONFIG_TTVM_MEMORY_MB 512
#endif

#ifndef CONFIG_TTVM_CPU_MODEL
#define CONFIG_TTVM_CPU_MODEL "x86-64-v2"
#endif

#ifndef CONFIG_TTVM_LOG_LEVEL
#define CONFIG_TTVM_LOG_LEVEL 3
#endif

#ifndef CONFIG_TTVM_LOG_FLUSH_MS
#define CONFIG_TTVM_LOG_FLUSH_MS 1000
#endif

/* A number as text, for help texts. */
#define CONFIG_TEXT_OF(x) #x
#define CONFIG_TEXT(x) CONFIG_TEXT_OF(x)

#endif /* TTVM_TOOLS_CONFIG_H */
