# SPDX-License-Identifier: GPL-2.0
#
# ttvm: `make` builds everything under build/ without root. The two commands to know:
#   make demo     install what is needed, build, record and replay a real Linux guest
#   make check    all tests; ends with "N passed, N failed, N skipped"
# Others: make lab (the test machine alone), bench, lint, deb (Debian packages), install DESTDIR= PREFIX=, clean.

VERSION := 0.1.0
BUILD := build
PREFIX ?= /usr/local
DESTDIR ?=
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
KERNELS ?= 6.1 6.12

# make V=1 shows the commands
Q := $(if $(V),,@)
CC := gcc
PKGS := libzstd liburing libxxhash jansson libelf slirp ext2fs com_err zlib
CFLAGS ?= -O2 -g
WERROR ?= -Werror
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -DTTVM_VERSION='"$(VERSION)"' -Wall -Wextra $(WERROR) \
	-fno-strict-aliasing -pthread -MMD -MP -Iinclude -Iinclude/uapi -iquote vmm -iquote replay -iquote debug -iquote ttdisk $(CPPFLAGS) $(CFLAGS)
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

.PHONY: all programs module demo check bench lab lint deb install clean
all: programs module
programs: $(BUILD)/ttvm $(PLUGIN)

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

# Debian packages, under build/.
deb:
	@tools/deb

# Binary, manual, completion; who may use /dev/ttvm; the module's source for dkms; and headers of the interface.
SOURCE := $(DESTDIR)$(PREFIX)/src/ttvm-$(VERSION)
install: programs
	install -Dm755 $(BUILD)/ttvm $(DESTDIR)$(PREFIX)/bin/ttvm
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/ttvm $(PLUGIN)
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man1 docs/man/*.1
	install -Dm644 tools/completion/ttvm.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ttvm
	install -Dm644 tools/completion/_ttvm $(DESTDIR)$(ZSH_COMPLETIONS)/_ttvm
	install -Dm644 tools/completion/ttvm.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ttvm.fish
	install -Dm644 tools/install/udev.rules $(DESTDIR)$(PREFIX)/lib/udev/rules.d/60-ttvm.rules
	install -Dm644 tools/install/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/ttvm.conf
	install -Dm644 tools/install/modprobe.conf $(DESTDIR)$(PREFIX)/lib/modprobe.d/ttvm.conf
	install -Dm644 include/uapi/linux/ttvm.h $(DESTDIR)$(PREFIX)/include/linux/ttvm.h
	rm -rf $(SOURCE)
	install -d $(SOURCE)
	cp -R kmod include $(SOURCE)/
	sed 's/@VERSION@/$(VERSION)/' tools/install/dkms.conf >$(SOURCE)/dkms.conf

include tests/rules.mk

clean:
	rm -rf $(BUILD)
