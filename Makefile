# syncd: GNU make. `make V=1` shows commands; `make help` lists targets.
VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
# FAILPOINTS: named places where a test may kill the daemon (common/base/failpoint.h).
FAILPOINTS ?=
BUILD ?= $(if $(FAILPOINTS),build-chaos,build)
CC ?= cc
PKG_CONFIG ?= pkg-config
CLANG ?= clang-14
CLANG_FORMAT ?= clang-format-14
ifeq ($(origin CC),default)
CC := gcc
endif

Q := $(if $(V),,@)
comma := ,
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)';)

DAEMON_PKGS := libuv sqlite3 libcurl libssl libcrypto libsystemd libmicrohttpd jansson libzstd zlib
CHECK_PKGS := cmocka
ifeq ($(filter clean format uninstall help,$(MAKECMDGOALS)),)
ifneq ($(shell $(PKG_CONFIG) --exists $(DAEMON_PKGS) && echo yes),yes)
$(error development packages are missing (one of: $(DAEMON_PKGS)); run ./scripts/install-deps)
endif
endif

# PostgreSQL, for syncctl alone and optional: WITH_LIBPQ=no builds without.
WITH_LIBPQ ?= $(shell $(PKG_CONFIG) --exists libpq && echo yes)
ifeq ($(WITH_LIBPQ),yes)
PQ_CFLAGS := $(shell $(PKG_CONFIG) --cflags libpq)
PQ_LIBS := $(shell $(PKG_CONFIG) --libs libpq)
endif

WARN := -Wall -Wextra -Wconversion -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes \
        -Wvla -Wundef -Wwrite-strings
# GCC before 12 knows two levels, and says so at every file. Some distributions define one already.
FORTIFY := $(if $(filter 4 5 6 7 8 9 10 11,$(firstword $(subst ., ,$(shell $(CC) -dumpversion)))),2,3)
HARDEN := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$(FORTIFY) -fstack-protector-strong -fstack-clash-protection -fPIE
ifeq ($(shell uname -m),x86_64)
HARDEN += -fcf-protection=full
# The linker drops the mark where one object lacks it, as the C library's start-up code does in Debian;
# nothing in that code minds a shadow stack.
HARDEN_LINK := -Wl,-z,shstk
endif
OPT ?= -O2 -g
SAN ?=
CPPFLAGS += -D_GNU_SOURCE -DSYNCD_VERSION='"$(VERSION)"' -DSYNCD_SYSCONFDIR='"$(SYSCONFDIR)"' -Icommon -Idaemon
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(DAEMON_PKGS))
ALL_CFLAGS = -std=gnu17 $(OPT) $(WARN) $(if $(WERROR),-Werror) $(if $(SAN),,$(HARDEN)) $(SAN) \
             $(PKG_CFLAGS) $(PQ_CFLAGS) -MMD -MP $(CFLAGS)
ALL_LDFLAGS = $(if $(SAN),$(SAN),-pie -Wl,-z,relro,-z,now,-z,noexecstack $(HARDEN_LINK)) $(LDFLAGS)
LIBS := $(shell $(PKG_CONFIG) --libs $(filter-out libcurl,$(DAEMON_PKGS))) -lm
# For syncctl's talks with the daemon. All else loads libcurl when it needs it: common/aws/libcurl.h.
CURL_LIBS := $(shell $(PKG_CONFIG) --libs libcurl)

# PURE: decides, encodes and parses; links without libuv, libcurl and SQLite (its tests prove it).
PURE_SRC := $(wildcard common/base/*.c common/mapping/*.c common/engine/*.c common/dynamodb/*.c \
                       common/export/*.c)
COMMON_SRC := $(PURE_SRC) $(wildcard common/config/*.c common/source/*.c common/aws/*.c common/state/*.c \
                           common/mirror/*.c)
DAEMON_SRC := $(wildcard daemon/*.c)
JOBS_SRC := $(filter-out daemon/jobs/$(if $(PQ_LIBS),postgres_absent,postgres).c,$(wildcard daemon/jobs/*.c))
# Records out of files; no SQLite in it.
IMPORT_SRC := $(wildcard daemon/import/*.c)
CTL_SRC := $(wildcard daemon/ctl/*.c)
# With failpoints only the files that have some are compiled anew; the others are the plain build's.
PLAIN := $(if $(FAILPOINTS),build,$(BUILD))
FAILPOINT_SRC := $(if $(FAILPOINTS),$(shell grep -l '"base/failpoint\.h"' common/*/*.c daemon/*.c daemon/*/*.c))
obj = $(foreach c,$(1),$(if $(filter $(c),$(FAILPOINT_SRC)),$(BUILD),$(PLAIN))/$(c:.c=.o))

PURE_LIB := $(BUILD)/libsyncd-pure.a
COMMON_LIB := $(BUILD)/libsyncd.a
PROGRAMS := $(BUILD)/syncd $(BUILD)/syncctl

all: $(PROGRAMS)

$(PLAIN)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

ifneq ($(PLAIN),$(BUILD))
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) -DSYNCD_FAILPOINTS $(ALL_CFLAGS) -c -o $@ $<
endif

$(PURE_LIB): $(call obj,$(PURE_SRC))
	$(call say,AR,$@)rm -f $@; ar qcs $@ $^

$(COMMON_LIB): $(call obj,$(COMMON_SRC) $(JOBS_SRC) $(IMPORT_SRC)) $(BUILD)/with-libpq
	$(call say,AR,$@)rm -f $@; ar qcs $@ $(filter %.o,$^)

# Another choice than at the last build is noticed.
$(BUILD)/with-libpq: FORCE
	@mkdir -p $(@D); echo '$(PQ_LIBS)' | cmp -s - $@ || echo '$(PQ_LIBS)' > $@

$(BUILD)/syncd: $(call obj,$(DAEMON_SRC)) $(COMMON_LIB)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)

$(BUILD)/syncctl: $(call obj,$(CTL_SRC)) $(COMMON_LIB)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS) $(CURL_LIBS) $(PQ_LIBS)

# Unit tests: one program a file. Those under tests/unit/pure link the pure library, libcrypto,
# jansson, zstd and cmocka only.
PURE_TESTS := $(patsubst tests/unit/pure/%.c,$(BUILD)/tests/pure/%,$(wildcard tests/unit/pure/test_*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
PURE_LIBS := $(shell $(PKG_CONFIG) --libs libcrypto jansson libzstd cmocka 2>/dev/null) -lm
CHECK_LIBS := $(shell $(PKG_CONFIG) --libs $(CHECK_PKGS) 2>/dev/null)
.SECONDARY:

$(BUILD)/tests/pure/%: tests/unit/pure/%.c $(PURE_LIB)
	@mkdir -p $(@D)
	$(call say,TEST,$@)$(CC) $(CPPFLAGS) -Itests/unit $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(filter %.o,$^) \
	  $(PURE_LIB) $(PURE_LIBS)

$(BUILD)/tests/%: tests/unit/%.c $(COMMON_LIB)
	@mkdir -p $(@D)
	$(call say,TEST,$@)$(CC) $(CPPFLAGS) -Itests/unit $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(filter %.o,$^) $(COMMON_LIB) \
	  $(CHECK_LIBS) $(LIBS)

# Records of files, but for the reading of files.
$(patsubst tests/unit/pure/%.c,$(BUILD)/tests/pure/%,$(wildcard tests/unit/pure/test_import_*.c)): \
  $(call obj,$(filter-out daemon/import/input.c daemon/import/reader.c,$(IMPORT_SRC)))

# The parser of HTTP replies needs nothing of those either.
$(BUILD)/tests/pure/test_wire_reply: $(call obj,common/aws/wire_reply.c)

# Parts of syncctl, which are in no library.
$(BUILD)/tests/test_bar: $(call obj,daemon/ctl/bar.c daemon/ctl/format.c)

# Calls of the project's own code that these tests make fail.
$(BUILD)/tests/test_inject $(BUILD)/tests/test_inject_http: ALL_LDFLAGS += \
  $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc blocks_take strdup strndup realpath asprintf __asprintf_chk abort)

$(BUILD)/tests/test_inject_http: ALL_LDFLAGS += \
  $(addprefix -Wl$(comma)--wrap=,socket connect getsockopt send sendmsg recv)

# A name server that keeps silent.
$(BUILD)/tests/test_wire_hosts: ALL_LDFLAGS += -Wl,--wrap=getaddrinfo

# Generated programs of an application against the capture oracle.
PROGRAMS_SRC := $(filter-out tests/programs/writer.c,$(wildcard tests/programs/*.c)) tests/sim/pool.c
CAPTURE_PROGRAMS := $(BUILD)/tests/programs/programs
$(CAPTURE_PROGRAMS): $(call obj,$(PROGRAMS_SRC)) $(COMMON_LIB)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)

# The mirror in simulated worlds, with planted faults (common/base/plant.h) that are asleep unless
# asked for: what has some is compiled a second time. Its disk is its own, instead of
# common/source/durable.c.
SIM := $(BUILD)/tests/sim/sim
# Headers that differ with planted faults, and those that include one of them, and so on.
PLANT_HEADERS := $(shell cd common && h=`grep -l SYNCD_PLANTS */*.h` && for i in 1 2 3 4; do \
  h=`printf '%s\n' $$h $$(grep -lF "$$(printf '"%s"\n' $$h)" */*.h) | sort -u`; done && echo $$h)
PLANT_SRC := $(shell grep -lF $(patsubst %,-e '"%"',$(PLANT_HEADERS)) $(COMMON_SRC))
SIM_OBJ = $(patsubst %.c,$(BUILD)/planted/%.o,$(PLANT_SRC) $(wildcard tests/sim/*.c))
$(BUILD)/planted/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) -DSYNCD_PLANTS $(ALL_CFLAGS) -c -o $@ $<

# SQLite itself is most of what it runs: linked in, where the archive is there, it is a sixth faster.
SQLITE_ARCHIVE := $(filter /%,$(shell $(CC) -print-file-name=libsqlite3.a))
$(SIM): $(SIM_OBJ) $(COMMON_LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ \
	  $(if $(SQLITE_ARCHIVE),$(patsubst -lsqlite3,$(SQLITE_ARCHIVE),$(LIBS)),$(LIBS))

# Everything that is tested at length, for DURATION (3600, 90s, 30m, 2h): scripts/soak tells how.
soak: $(CAPTURE_PROGRAMS) $(SIM) $(BUILD)/tests/test_inject
	$(Q)$(MAKE) all BUILD=build-chaos FAILPOINTS=1 WERROR=$(WERROR)
	$(Q)scripts/soak $(if $(filter-out 0,$(DURATION)),$(DURATION),1h)

# Every call that may fail in each scenario fails in turn, once and for good: some 80 minutes of
# processor time. INJECT names one scenario, INJECT_JOBS how many runs go at once.
inject: $(BUILD)/tests/test_inject
	$(Q)INJECT=$(or $(INJECT),all) INJECT_JOBS=$(or $(INJECT_JOBS),$(shell nproc)) $<

tests-build: $(PURE_TESTS) $(UNIT_TESTS) $(CAPTURE_PROGRAMS) $(SIM)

# etc/syncd.conf is the option table's own words; a test holds it to them.
sample-config: $(BUILD)/tests/print_sample
	$(Q)$< > etc/syncd.conf

# etc/iam is what the program prints of made-up tables; a test holds it to that.
sample-policies: $(BUILD)/tests/pure/print_policies
	$(Q)$< etc/iam

check: all $(PURE_TESTS) $(UNIT_TESTS)
	$(Q)scripts/run-unit-tests $(BUILD)/tests

# Migration tools from their registries at a mirrored database; scripts/test tries three of them.
# TOOLS names some; all without it.
tools: all
	$(Q)tests/tools/run $(TOOLS)

# Real daemons killed, cut off and out of disk, for DURATION, as above (0: everything once). CHAOS: more
# options, such as `--seed 7 --only 'failpoint:ack_*'`.
DURATION ?= 0
CHAOS ?=
chaos:
	$(Q)$(MAKE) all BUILD=build-chaos FAILPOINTS=1 WERROR=$(WERROR)
	$(Q)tests/chaos/run --seconds $(DURATION) $(CHAOS)

# The installed service under a real systemd, in a container; SYSTEMD: options for pytest.
SYSTEMD ?=
systemd-test:
	$(Q)tests/systemd/run $(SYSTEMD)

bench: all
	$(Q)tests/bench/run

asan ubsan:
	$(Q)$(MAKE) check BUILD=build-san OPT="-O1 -g" WERROR=$(WERROR) \
	  SAN="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

# The daemon and its worker thread under the thread sanitizer.
tsan:
	$(Q)$(MAKE) all BUILD=build-tsan OPT="-O1 -g" WERROR=$(WERROR) SAN="-fsanitize=thread -fno-omit-frame-pointer"
	$(Q)scripts/run-tsan

# Fuzz targets need clang's libFuzzer. FUZZ_SECONDS each.
FUZZ_SECONDS ?= 60
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)-fuzz/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz:
	$(Q)scripts/run-fuzzers $(FUZZ_SECONDS)

# They reach what reads something from outside, and not what acts on it.
FUZZ_LIB := $(BUILD)/libsyncd-fuzz.a
$(FUZZ_LIB): $(call obj,$(filter-out common/engine/% common/mirror/% common/state/%,$(COMMON_SRC)) $(IMPORT_SRC) \
  common/state/digest_block.c common/state/digest_pack.c)
	$(call say,AR,$@)rm -f $@; ar qcs $@ $^

$(BUILD)/fuzz/%: tests/fuzz/%.c $(FUZZ_LIB)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(FUZZ_MAIN) -o $@ $< $(FUZZ_LIB) $(LIBS)

C_FILES = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h')
format:
	$(Q)$(CLANG_FORMAT) -i $(C_FILES)

lint:
	$(Q)scripts/lint

# GCC's own analyzer alone, as part of lint.
analyze:
	$(Q)scripts/lint --analyze

SHARE := $(DESTDIR)$(PREFIX)/share
COMPLETIONS := $(SHARE)/bash-completion/completions
DOCUMENTS := $(SHARE)/doc/syncd
# What an operator copies from: every folder of etc/ but those that are installed elsewhere.
SAMPLES := $(filter-out man completion cloudwatch prometheus grafana,$(notdir $(patsubst %/,%,$(wildcard etc/*/))))
install: all
	install -D -m 0755 $(BUILD)/syncd $(DESTDIR)$(PREFIX)/sbin/syncd
	install -D -m 0755 $(BUILD)/syncctl $(DESTDIR)$(PREFIX)/bin/syncctl
	install -D -m 0644 -t $(DESTDIR)$(UNITDIR) $(BUILD)/systemd/syncd.service $(BUILD)/systemd/syncd@.service \
	  $(BUILD)/systemd/syncd.socket $(BUILD)/systemd/syncd@.socket
	install -D -m 0644 systemd/syncd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/syncd.conf
	install -D -m 0644 systemd/syncd.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/syncd.conf
	install -D -m 0644 systemd/syncd.preset $(DESTDIR)$(PREFIX)/lib/systemd/system-preset/50-syncd.preset
	install -D -m 0644 systemd/syncd.catalog $(DESTDIR)$(PREFIX)/lib/systemd/catalog/syncd.catalog
	for dir in cloudwatch cloudwatch/metric-filters cloudwatch/alarms prometheus grafana; do \
	  install -d $(DESTDIR)$(PREFIX)/share/syncd/$$dir && \
	  find etc/$$dir -maxdepth 1 -type f -exec install -m 0644 -t $(DESTDIR)$(PREFIX)/share/syncd/$$dir {} + || exit; \
	done
	install -D -m 0644 -t $(SHARE)/man/man1 $(BUILD)/man/syncctl.1
	install -D -m 0644 -t $(SHARE)/man/man5 $(BUILD)/man/syncd.conf.5
	install -D -m 0644 -t $(SHARE)/man/man8 $(BUILD)/man/syncd.8
	install -D -m 0644 -t $(COMPLETIONS) etc/completion/syncd etc/completion/syncctl
	install -D -m 0644 -t $(DOCUMENTS) README.md CHANGELOG.md .github/SECURITY.md LICENSE
	install -D -m 0644 -t $(DOCUMENTS)/examples etc/syncd.conf
	cd etc && find $(SAMPLES) -type f -exec install -D -m 0644 {} $(abspath $(DOCUMENTS))/{} \;
	test -e $(DESTDIR)$(SYSCONFDIR)/syncd/syncd.conf || \
	  install -D -m 0644 etc/syncd.conf $(DESTDIR)$(SYSCONFDIR)/syncd/syncd.conf

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/syncd $(DESTDIR)$(PREFIX)/bin/syncctl
	rm -f $(DESTDIR)$(UNITDIR)/syncd.service $(DESTDIR)$(UNITDIR)/syncd@.service
	rm -f $(DESTDIR)$(UNITDIR)/syncd.socket $(DESTDIR)$(UNITDIR)/syncd@.socket
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/catalog/syncd.catalog
	cd etc && find cloudwatch prometheus grafana -type f -exec sh -c 'rm -f "$$0/$$1"' $(DESTDIR)$(PREFIX)/share/syncd {} \;
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/syncd.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/syncd.conf
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system-preset/50-syncd.preset
	rm -f $(SHARE)/man/man1/syncctl.1 $(SHARE)/man/man5/syncd.conf.5 $(SHARE)/man/man8/syncd.8
	rm -f $(COMPLETIONS)/syncd $(COMPLETIONS)/syncctl
	rm -rf $(DOCUMENTS)

# Packages: build/packages/syncd_VERSION_ARCH.deb, build/packages/syncd-VERSION-1.ARCH.rpm. PACKAGER is
# who answers for them. package-test needs root and Debian 12's packages.
deb rpm:
	$(Q)SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) scripts/packaging/$@ --version $(VERSION)

version:
	@echo $(VERSION)

package-test:
	$(Q)tests/packages/run

# What the programs are linked with, exactly, as CycloneDX.
sbom: $(BUILD)/syncd.cdx.json
$(BUILD)/syncd.cdx.json: $(PROGRAMS) scripts/sbom
	$(call say,SBOM,$@)SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) scripts/sbom --version $(VERSION) $(PROGRAMS) > $@.new && mv $@.new $@

# Made anew each time: PREFIX may be another than when the programs were built.
UNITS := $(BUILD)/systemd/syncd.service $(BUILD)/systemd/syncd@.service
$(BUILD)/systemd/syncd.service: INSTANCE := syncd
$(BUILD)/systemd/syncd@.service: INSTANCE := %i
$(UNITS): systemd/service.in FORCE
	@mkdir -p $(@D)
	$(Q)sed '1,/^$$/d; s|@PREFIX@|$(PREFIX)|g; s|@SYSCONFDIR@|$(SYSCONFDIR)|g; s|@INSTANCE@|$(INSTANCE)|g' $< > $@
SOCKETS := $(UNITS:.service=.socket)
$(BUILD)/systemd/syncd.socket: INSTANCE := syncd
$(BUILD)/systemd/syncd@.socket: INSTANCE := %i
$(SOCKETS): systemd/socket.in FORCE
	@mkdir -p $(@D)
	$(Q)sed '1,/^$$/d; s|@INSTANCE@|$(INSTANCE)|g' $< > $@
FORCE:
all: $(UNITS) $(SOCKETS)

# Man pages: etc/man/*.in, the option table's words and what syncctl's commands say of themselves.
# SOURCE_DATE_EPOCH: the last commit's time, else the changelog's.
ifeq ($(origin SOURCE_DATE_EPOCH),undefined)
SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
endif
MAN_PAGES := $(patsubst etc/man/%.in,$(BUILD)/man/%,$(wildcard etc/man/*.in))
man: $(MAN_PAGES)
all: man

$(BUILD)/man/print_settings: $(BUILD)/etc/man/print_settings.o $(COMMON_LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)

$(BUILD)/man/settings.mdoc: $(BUILD)/man/print_settings
	$(Q)$< > $@.new && mv $@.new $@

$(BUILD)/man/commands.mdoc: $(BUILD)/syncctl etc/man/print_commands etc/man/commands.awk
	@mkdir -p $(@D)
	$(Q)etc/man/print_commands $< > $@.new && mv $@.new $@

$(BUILD)/man/%: etc/man/%.in $(BUILD)/man/settings.mdoc $(BUILD)/man/commands.mdoc
	$(call say,MAN,$@)sed -e "s|@DATE@|$$(LC_ALL=C date -u -d @$(SOURCE_DATE_EPOCH) '+%B %-d, %Y')|" \
	  -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g; s|@PREFIX@|$(PREFIX)|g' \
	  -e '/^@SETTINGS@$$/{r $(BUILD)/man/settings.mdoc' -e 'd}' \
	  -e '/^@COMMANDS@$$/{r $(BUILD)/man/commands.mdoc' -e 'd}' $< > $@.new && mv $@.new $@

clean:
	rm -rf $(BUILD) build-san build-tsan build-fuzz build-chaos build-clang

help:
	@echo 'all check tools systemd-test bench soak chaos inject asan ubsan tsan fuzz format lint analyze man sbom deb rpm package-test'
	@echo 'install uninstall clean'
	@echo 'PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) BUILD=$(BUILD); V=1 shows commands, WERROR=1 stops at warnings'

-include $(shell find $(foreach d,common daemon etc fuzz planted tests,$(sort $(BUILD)/$(d) $(PLAIN)/$(d))) -type f -name '*.d' 2>/dev/null)
.PHONY: FORCE all check tools systemd-test bench soak chaos inject asan ubsan tsan fuzz format lint analyze install uninstall clean help tests-build \
        sample-config sample-policies man sbom deb rpm package-test version
