# SPDX-License-Identifier: GPL-2.0
#
# rules.mk - building what the tests run. Included by the top-level Makefile.
#
#   unit          build/unit/test_NAME for each tests/unit/test_NAME.c
#   unit-asan     the same under build/asan/, with the address and undefined-behaviour sanitizers
#   lab-tests     build/tests/NAME for each tests/lab/NAME.c; preload-NAME.c becomes preload-NAME.so
#                 and build/tests/ledger/ledger.ko, a driver for a guest of Linux 6.12
#                 and build/tests/tutorial/, the guest of docs/tutorial.md: drivers, an initrd with them, vmlinux
#   guests        build/tests/guests/NAME, the tiny test kernels
#   fuzz          build/fuzz/NAME for each tests/fuzz/fuzz_NAME.c, and FUZZ_SECONDS (600) of each; the corpus stays
#                 in build/fuzz/NAME.corpus, what crashed beside it

UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
UNIT_SHARED := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/unit/test_%.c,$(wildcard tests/unit/*.c)))
UNIT_OBJS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%.o,$(wildcard tests/unit/*.c))
LAB_SOURCES := $(wildcard tests/lab/*.c)
LAB_PRELOADS := $(patsubst tests/lab/%.c,$(BUILD)/tests/%.so,$(filter tests/lab/preload-%.c,$(LAB_SOURCES)))
LAB_PROGRAMS := $(patsubst tests/lab/%.c,$(BUILD)/tests/%,$(filter-out tests/lab/preload-%.c,$(LAB_SOURCES)))

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

.PHONY: unit unit-asan lab-tests guests fuzz
unit: $(UNIT_TESTS)

unit-asan:
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/asan CFLAGS='-O1 -g $(SANITIZE)' unit

lab-tests: $(LAB_PROGRAMS) $(LAB_PRELOADS) $(BUILD)/tests/disk-write $(BUILD)/tests/ledger/ledger.ko \
	$(BUILD)/tests/tutorial/initrd

# A driver with a bug, for the guest's kernel.
$(BUILD)/tests/ledger/ledger.ko: tests/lab/ledger/ledger.c tests/lab/ledger/Kbuild
	@mkdir -p $(@D)
	@ln -sfn $(abspath $^) $(@D)/
	$(Q)$(MAKE) --no-print-directory -C $$(tools/lab/kernel 6.12)/build M=$(abspath $(@D)) modules

# The same for the tutorial's, in an initrd in which they and /init come on top of the other guests' files.
$(BUILD)/tests/tutorial/initrd: $(wildcard tests/lab/tutorial/*)
	@mkdir -p $(@D)
	@ln -sfn $(abspath $^) $$(tools/lab/kernel 6.12)/vmlinux $(@D)/
	$(Q)$(MAKE) --no-print-directory -C $$(tools/lab/kernel 6.12)/build M=$(abspath $(@D)) modules
	$(Q)cp $$(tools/lab/guest-initrd) $@.new
	$(Q)cd $(@D) && printf '%s\n' init *.ko | cpio --quiet -oLH newc >>initrd.new
	$(Q)mv $@.new $@

$(BUILD)/tests/disk-write: tests/disk/disk-write.c $(BUILD)/libreplay.a $(BUILD)/libttdisk.a
	@mkdir -p $(@D)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $^ $(LIBS)

guests:
	@+$(MAKE) --no-print-directory -C tests/guests OUT=$(abspath $(BUILD)/tests/guests)

# The subcommands, for tests of their parts.
$(BUILD)/libtools.a: $(filter-out $(BUILD)/tools/main.o,$(TOOLS_OBJS))
	@rm -f $@
	@$(AR) rcs $@ $^

FUZZ_SECONDS ?= 600
fuzz:
	@set -e; mkdir -p $(BUILD)/fuzz; for target in tests/fuzz/fuzz_*.c; do \
		name=$$(basename $$target .c); out=$(abspath $(BUILD))/fuzz/$${name#fuzz_}; \
		tests/fuzz/build $$target $$out; mkdir -p $$out.corpus; \
		(cd $(BUILD)/fuzz && $$out -max_total_time=$(FUZZ_SECONDS) -timeout=60 $$out.corpus); done

$(BUILD)/unit/%: $(BUILD)/tests/unit/%.o $(UNIT_SHARED) $(BUILD)/libtools.a $(BUILD)/libdebug.a $(BUILD)/libreplay.a $(BUILD)/libvmm.a $(BUILD)/libttdisk.a
	@mkdir -p $(@D)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

$(BUILD)/unit/test_pcap: LIBS += -lpcap

# Defined to nothing, as by the programs that define it themselves and can be built by hand.
LAB_CFLAGS = $(filter-out -D_GNU_SOURCE,$(ALL_CFLAGS)) -D_GNU_SOURCE=

$(LAB_PROGRAMS): $(BUILD)/tests/%: tests/lab/%.c $(wildcard tests/lab/*.h) $(BUILD)/libreplay.a $(BUILD)/libvmm.a $(BUILD)/libttdisk.a
	@mkdir -p $(@D)
	@echo "  LD      $@"
	$(Q)$(CC) $(LAB_CFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $(filter-out %.h,$^) $(LIBS)

$(LAB_PRELOADS): $(BUILD)/tests/%.so: tests/lab/%.c
	@mkdir -p $(@D)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared -o $@ $< -ldl

.SECONDARY: $(UNIT_OBJS)
-include $(UNIT_OBJS:.o=.d)
