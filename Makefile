# SPDX-License-Identifier: MIT
# The few commands that people type. Each installs what it needs (Debian packages, with root or sudo) and builds first.
#
#   make run      build, then run a node in the foreground on ./data (HEARTH_PATH chooses another folder)
#   make test     build and run the unit tests
#   make help     the rest

BUILD     ?= build
VECTORS   ?= $(HEARTH_VECTORS)
JOBS      ?= $(shell nproc)
CMAKE     := cmake -G Ninja -S .
comma     := ,
NODE_PATH := $(or $(HEARTH_PATH),$(CURDIR)/data)

# The slowest first: they run beside each other. The second list is played once more with a process for each actor; BACKEND=ipc plays all of them so, as it
# does the other tests of whole nodes.
SMOKE     := tiers.py crashes.py processes.py commands.py stranger.py outside.py keep.py bad_input.py names.py discovery.py denylists.py delegated.py \
             requests.py actors.py run.sh
SMOKE_IPC := commands.py actors.py outside.py names.py denylists.py discovery.py

.PHONY: help build run test smoke cold asan tsan lint interop interop-short interop-full sim-bitswap sim-crowd sim-large sim-short sim-soak bench long image budget budget-short crash crash-smoke fuzz partition chaos chaos-short chaos-peers boundaries chaos-smoke docs clean

help:
	@echo "make build        build/hearth and build/hearthd"
	@echo "make run          a node in the foreground, data in ./data unless HEARTH_PATH says otherwise"
	@echo "make test         unit tests (VECTORS=DIR adds the published test vectors)"
	@echo "make asan tsan    the same under AddressSanitizer+UBSan, under ThreadSanitizer (there without what starts no thread)"
	@echo "make cold         the S3 client against a real server (from PyPI) with faults between"
	@echo "make lint         source laws, formatting, clang-tidy"
	@echo "make smoke        the commands of the README, bad input, peers found by names, queries from outside, what it keeps, what it does after a crash, its files read by a stranger"
	@echo "make interop      files and blocks exchanged with Kubo and Helia (needs Go and npm); interop-short leaves out what takes long"
	@echo "make partition    twelve nodes in namespaces, parted for four minutes and healed (needs root; make interop has the short form)"
	@echo "make sim-bitswap  Bitswap over Yamux with windows of one byte, SIM_SEEDS (10000) interleavings"
	@echo "make sim-crowd    SIM_NODES (1,000) whole nodes with latencies and churn in one process: lookups, 40 sybils, a sweep beside lookups one by one; sim-large: 10,000"
	@echo "make sim-short    200 seeds of small swarms under load and faults, judged (SEEDS, SCENARIOS, FIRST)"
	@echo "make sim-soak     10,000 seeds (SEEDS) of each scenario, on all cores; names the seeds that fail, and stops"
	@echo "make bench        hearth beside a plain pipeline, Kubo, Helia, plain TCP (ONLY=suite,suite; QUICK=1 shows that it runs; RECORD=1 updates docs/results.md)"
	@echo "make image        the container image of deploy/, built and tried (needs root, podman, buildah)"
	@echo "make long         every call of a store's life failing once, blocks.db held by a reader for ten minutes, a folder of a million entries through the daemon"
	@echo "make budget       ten minutes with 96 peers in a cgroup of 64 MiB (budget-short: two)"
	@echo "make chaos        two nodes under load whose actors fail, ten times a second, for ten minutes on each backend (BACKEND=ipc: on one), a thread that hangs, escalation; chaos-short: a minute of load"
	@echo "make chaos-peers  hostile peers against the daemon, over sockets: row by row, then a minute of all at once (chaos-smoke: the fastest)"
	@echo "make boundaries   an add and a fetch given up, or their client dead, at each message in the simulator, and at moments on each backend: nothing is left"
	@echo "make crash        power loss and kill -9 replayed against the store"
	@echo "make fuzz         each decoder fuzzed for FUZZ_SECONDS (60), JOBS at a time"
	@echo "make docs         regenerate docs/commands.md, docs/control.md and docs/config.md"

deps:
	@tools/install_deps.sh build

build: deps
	@$(CMAKE) -B $(BUILD) -DCMAKE_BUILD_TYPE=Release -DHEARTH_VECTORS="$(VECTORS)" > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log
	@cmake --build $(BUILD) -j $(JOBS)

run: build
	@HEARTH_PATH="$(NODE_PATH)" exec $(BUILD)/hearth daemon $(if $(BACKEND),--backend $(BACKEND))

test: build
	@ctest --test-dir $(BUILD) -L unit -j $(JOBS) --output-on-failure

asan tsan: deps
	@cmake --preset $@ -DHEARTH_VECTORS="$(VECTORS)" > /dev/null
	@cmake --build --preset $@ -j $(JOBS)
	@ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp" \
	  ctest --test-dir build/$@ -L unit $(if $(filter tsan,$@),-LE one_thread) -j $(JOBS) --output-on-failure

smoke: build
	@HEARTH_BUILD=$(BUILD) JOBS=$(JOBS) tests/smoke/all.sh $(SMOKE) -- $(SMOKE_IPC)

cold: build
	@tools/install_deps.sh cold || echo "cold: going on without them, it will be skipped"
	@HEARTH_BUILD=$(BUILD) tests/cold/run.py

lint:
	@tools/install_deps.sh build lint
	@cmake --preset dev > /dev/null
	@tools/lint.sh build/dev

sim-bitswap: build
	@$(BUILD)/hearth-sim --exchange --seeds $(or $(SIM_SEEDS),10000)

sim-crowd: build
	@$(BUILD)/hearth-sim --nodes $(or $(SIM_NODES),1000) --actors $(or $(SIM_ACTORS),connection_manager$(comma)discovery$(comma)state) --minutes 1 --tasks 300
	@$(BUILD)/hearth-sim --nodes $(or $(SIM_SYBIL_NODES),300) --sybils 40 --actors connection_manager,discovery --minutes 1 --tasks 200
	@$(BUILD)/hearth-sim --nodes $(or $(SIM_PROVIDE_NODES),150) --actors connection_manager,discovery --minutes 0 --tasks 0 --provide 20000 --singles 300 --play-keys

sim-large: build
	@$(BUILD)/hearth-sim --nodes 10000 --actors connection_manager,discovery --minutes 2 --tasks 1000 --connections 64 --play-keys
	@$(BUILD)/hearth-sim --nodes 500 --actors connection_manager,discovery --minutes 0 --tasks 0 --provide 100000 --singles 1000 --play-keys

sim-short: build
	@HEARTH_BUILD=$(BUILD) JOBS=$(JOBS) SEEDS=$(or $(SEEDS),34) FIRST=$(or $(FIRST),1) NODES=$(or $(SIM_NODES),4) MINUTES=$(or $(SIM_MINUTES),1) \
	  tests/sim/soak.sh $(SCENARIOS)

sim-soak: build
	@HEARTH_BUILD=$(BUILD) JOBS=$(JOBS) SEEDS=$(or $(SEEDS),10000) FIRST=$(or $(FIRST),1) NODES=$(or $(SIM_NODES),5) MINUTES=$(or $(SIM_MINUTES),2) \
	  tests/sim/soak.sh $(SCENARIOS)

interop: build
	@tools/install_deps.sh interop || echo "interop: going on without them, cases will be skipped"
	@HEARTH_BUILD=$(BUILD) tests/interop/run.py

interop-full: interop

interop-short: build
	@tools/install_deps.sh interop || echo "interop: going on without them, cases will be skipped"
	@HEARTH_BUILD=$(BUILD) tests/interop/run.py --short

partition: build
	@HEARTH_BUILD=$(BUILD) tests/interop/run.py --only hearth/partition

bench: build
	@tools/install_deps.sh bench interop || echo "bench: going on without them, contenders will be missing"
	@tests/bench/run.py $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick) $(if $(ROUNDS),--rounds $(ROUNDS))
	@$(if $(RECORD),tests/bench/report.py build/bench-results/results.json docs/results.md,:)

long: build
	@HEARTH_BUILD=$(BUILD) tests/long/torture.sh
	@HEARTH_BUILD=$(BUILD) tests/long/held_reader.py
	@HEARTH_BUILD=$(BUILD) tests/long/large_folder.py

crash: build
	@tests/crash/run.sh

image: build
	@tools/install_deps.sh image || echo "image: going on without them, what cannot run will be skipped"
	@HEARTH_BUILD=$(BUILD) tests/image/run.py

budget: build
	@HEARTH_BUILD=$(BUILD) tests/budget/run.py

budget-short: build
	@HEARTH_BUILD=$(BUILD) tests/budget/run.py --short

chaos: build
	@HEARTH_BUILD=$(BUILD) tests/chaos/ends.py
	@HEARTH_BUILD=$(BUILD) tests/chaos/load.py $(or $(BACKEND),inproc ipc)

chaos-short: build
	@HEARTH_BUILD=$(BUILD) tests/chaos/load.py $(or $(BACKEND),inproc ipc) --seconds 25

chaos-peers: build
	@HEARTH_BUILD=$(BUILD) tests/chaos/run.py --full
	@HEARTH_BUILD=$(BUILD) tests/chaos/sybils.py
	@HEARTH_BUILD=$(BUILD) tests/chaos/run.py --mix 60

boundaries: build
	@$(BUILD)/tests/actors_test_boundaries --all
	@HEARTH_BUILD=$(BUILD) tests/chaos/given_up.py

chaos-smoke: build
	@HEARTH_BUILD=$(BUILD) tests/chaos/run.py --short
	@HEARTH_BUILD=$(BUILD) tests/chaos/sybils.py

crash-smoke: build
	@tests/crash/run.sh --smoke

fuzz:
	@tools/install_deps.sh build lint
	@cmake --preset fuzz > /dev/null
	@cmake --build --preset fuzz -j $(JOBS) --target fuzzers
	@FUZZ_JOBS=$(JOBS) tests/fuzz/run.sh build/fuzz $(or $(FUZZ_SECONDS),60)

docs: build
	@tools/generate_docs.sh $(BUILD)

clean:
	rm -rf $(BUILD)
