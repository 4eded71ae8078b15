# SPDX-License-Identifier: GPL-2.0
#
# ttvm: `make` builds everything under build/ without root. The two commands to know:
#   make demo     install what is needed, build, record and replay a real Linux guest
#   make check    all tests; ends with "N passed, N failed, N skipped"
# Others: make lab (the test machine alone), bench, lint, install DESTDIR= PREFIX=, clean.

VERSION := 0.1.0
BUILD := build
PREFIX ?= /usr/local
DESTDIR ?=
KERNELS ?= 6.1 6.12

# make V=1 shows the commands
Q := $(if $(V),,@)
CC := gcc
PKGS := libzstd liburing libxxhash jansson libelf slirp ext2fs com_err zlib
CFLAGS ?= -O2 -g
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -DTTVM_VERSION='"$(VERSION)"' -Wall -Wextra -Werror \
	-fno-strict-aliasing -pthread -MMD -MP -Iinclude -Iinclude/uapi -iquote vmm -iquote replay -iquote debug -iquote ttdisk $(CFLAGS)
# The options of Kconfig, when .config is there.
-include .config
ALL_CFLAGS += $(foreach v,$(sort $(filter CONFIG_TTVM_%,$(.VARIABLES))),'-D$(v)=$(patsubst y,1,$($(v)))')
LIBS = $(shell pkg-config --libs $(PKGS)) -lZydis -lm -pthread

DISK_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard ttdisk/*.c))
VMM_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard vmm/*.c))
REPLAY_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard replay/*.c))
DEBUG_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard debug/*.c))
TOOLS_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/*.c))

# Loaded by nbdkit for `ttvm disk export`; beside the program, or in lib/ttvm when it is installed.
PLUGIN := $(BUILD)/nbdkit-ttdisk-plugin.so

.PHONY: all module demo check bench lab lint install clean
all: $(BUILD)/ttvm $(PLUGIN) module

$(BUILD)/ttvm: $(TOOLS_OBJS) $(BUILD)/libdebug.a $(BUILD)/libreplay.a $(BUILD)/libvmm.a $(BUILD)/libttdisk.a
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# Rebuilt whole, so that the object of a removed file does not linger.
$(BUILD)/libvmm.a: $(VMM_OBJS)
	@rm -f $@
	@$(AR) rcs $@ $^
$(BUILD)/libreplay.a: $(REPLAY_OBJS)
	@rm -f $@
	@$(AR) rcs $@ $^
$(BUILD)/libdebug.a: $(DEBUG_OBJS)
	@rm -f $@
	@$(AR) rcs $@ $^
$(BUILD)/libttdisk.a: $(DISK_OBJS)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/%.o: %.c Makefile $(wildcard .config)
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Kept checkpoints hold structures as they are in memory: they are for programs made of the same sources (checkpoint_cache.c).
STATE_SOURCES := $(sort $(wildcard vmm/*.[ch] replay/*.[ch] include/ttvm/*.h include/uapi/linux/*.h))
$(BUILD)/replay/checkpoint_cache.o: $(STATE_SOURCES)
$(BUILD)/replay/checkpoint_cache.o: ALL_CFLAGS += -DSTATE_SOURCES='"$(shell cat $(STATE_SOURCES) | sha256sum | cut -c1-32)"'

-include $(DISK_OBJS:.o=.d) $(VMM_OBJS:.o=.d) $(REPLAY_OBJS:.o=.d) $(DEBUG_OBJS:.o=.d) $(TOOLS_OBJS:.o=.d)

# ttdisk once more, as position-independent code. Warnings and dependencies are the library's business.
$(PLUGIN): tools/nbdkit/plugin.c $(wildcard ttdisk/*.[ch] include/ttvm/error.h) Makefile
	@mkdir -p $(@D)
	@echo "  LD      $@"
	$(Q)$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -fPIC -shared -fvisibility=hidden $(LDFLAGS) -o $@ \
		$(filter %.c,$^) -luring -lxxhash

# The module, for each kernel of the lab, and for the running one where its headers are installed.
HOST_BUILD := /lib/modules/$(shell uname -r)/build
module:
	@set -e; for k in $(KERNELS); do dir=$$(tools/lab/kernel $$k); \
		$(MAKE) --no-print-directory -C kmod KDIR=$$dir/build OUT=$(abspath $(BUILD))/kmod/$$(cat $$dir/release); done
	$(if $(wildcard $(HOST_BUILD)/Makefile),@$(MAKE) --no-print-directory -C kmod KDIR=$(HOST_BUILD) \
		OUT=$(abspath $(BUILD))/kmod/$(shell uname -r))

demo:
	@tools/demo

check:
	@tests/check

bench:
	@tests/bench/run
	@tests/bench/travel

lint:
	@tests/lint

# The test machine alone: emulator, kernels, system.
lab: module
	@tools/lab/run --no-module -- true && echo "the test machine is ready: tools/lab/run --help"

# Binary, manual, completion, the module's source for DKMS, and headers of the interface.
install: $(BUILD)/ttvm $(PLUGIN)
	install -Dm755 $(BUILD)/ttvm $(DESTDIR)$(PREFIX)/bin/ttvm
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/ttvm $(PLUGIN)
	for page in docs/man/*.1; do install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man1 $$page; done
	install -Dm644 tools/completion/ttvm.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ttvm
	install -Dm644 tools/completion/_ttvm $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ttvm
	install -Dm644 include/uapi/linux/ttvm.h $(DESTDIR)$(PREFIX)/include/linux/ttvm.h
	install -d $(DESTDIR)$(PREFIX)/src/ttvm-$(VERSION)
	cp -R kmod include $(DESTDIR)$(PREFIX)/src/ttvm-$(VERSION)/

include tests/rules.mk

clean:
	rm -rf $(BUILD)
