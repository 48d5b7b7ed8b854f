# Every verb a developer or CI runs. On a fresh machine each installs what it needs (tools/packages says how).
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install
KIND ?=
DATA ?= data/bootstrap
LISTEN ?=
NODES ?= 256
SEED ?= 7
COUNT ?= 10000000
PCAP ?= build/demo.pcapng
FRAMES ?= build/frames.pcap
TIME ?= 60
RUNS ?= 0
ARGS ?=
SOURCES := setup.py $(wildcard cext/*.pyx cext/*.pxi cext/*.pxd cext/*.h xor_fast/net/*.pyx) $(patsubst %,xor_fast/net/%.py,transport links turn)
export XOR_FAST_BUILD = $(patsubst -%,%,$(KIND))

.DEFAULT_GOAL := help
.PHONY: help build run test vectors compare tshark lint debug asan fuzz coverage bench load sim modelcheck demo survive kill-points power-cuts pcap-frames packages dist wheels clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo "  variables: DATA=$(DATA) LISTEN=IP:PORT NODES=$(NODES) SEED=$(SEED) PCAP=$(PCAP) ARGS='more arguments'"

build: $(VENV)/built$(KIND)  ## compile the modules of cext/ and install the package into .venv

run: build  ## run the first peer of a private overlay, made on first use (DATA, LISTEN)
	@exec $(BIN)/xor-fast quickstart --data $(DATA) $(if $(LISTEN),--listen $(LISTEN)) $(ARGS)

test: build $(VENV)/with-test  ## run every test (ARGS='tests/core -k join' for some)
	@tools/packages test bench
	@$(BIN)/python -m pytest $(ARGS)

vectors: build $(VENV)/with-test  ## make the published test vectors anew out of tests/vectors/source
	@$(BIN)/python -m tests.vectors.make

compare: build  ## COUNT random messages and COUNT mutants through the codec and the slow reference (SEED, ARGS='--jobs 1')
	@$(BIN)/python -m tests.compare --count $(COUNT) $(if $(filter file,$(origin SEED)),,--seed $(SEED)) $(ARGS)

tshark: build $(VENV)/with-test  ## COUNT (10,000) random messages, judged by Wireshark's dissector
	@tools/packages test
	@XOR_FAST_TSHARK_COUNT=$(if $(filter file,$(origin COUNT)),10000,$(COUNT)) $(BIN)/python -m pytest tests/wireshark $(ARGS)

lint: build $(VENV)/with-test  ## ruff check, ruff format --check and mypy --strict
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

debug:  ## build without optimisation and with bounds checks, then test
	@$(MAKE) --no-print-directory test KIND=-debug

asan:  ## build with the address and undefined-behaviour sanitizers, then test the compiled modules
	@$(MAKE) --no-print-directory build $(VENV)/with-test KIND=-asan
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
		ASAN_OPTIONS=detect_leaks=0 $(BIN)/python -m pytest tests/cext tests/vectors $(ARGS)

fuzz: build $(VENV)/with-test build/fuzz/fuzzer  ## fuzz every parser under sanitizers: TIME seconds in all, or RUNS=1000000 of each (ARGS='struct_*')
	@$(BIN)/python -m tests.fuzz --time $(TIME) --runs $(RUNS) $(ARGS)

coverage: $(VENV)/with-coverage  ## line coverage of Python and Cython, as build/coverage/index.html
	@$(MAKE) --no-print-directory build $(VENV)/with-test KIND=-coverage
	@$(BIN)/python -m coverage run -m pytest $(ARGS)
	@$(BIN)/python -m coverage html -d build/coverage && $(BIN)/python -m coverage report --skip-covered | tail -n 40
	@$(BIN)/python -m coverage report --show-missing --fail-under=95 --include='*/cext/codec*'

bench: build $(VENV)/with-test  ## print the table of benchmarks, each beside its reference
	@tools/packages test bench
	@$(BIN)/python -m bench.table $(ARGS)

load: build $(VENV)/with-test  ## only the load programs over loopback TLS: relay against C, requests answered
	@tools/packages test bench
	@$(BIN)/python -m bench.table --load $(ARGS)

sim: build  ## simulate an overlay in virtual time (NODES, SEED)
	@$(BIN)/xor-fast sim --nodes $(NODES) --seed $(SEED) $(ARGS)

modelcheck: build  ## every order of messages in rings of up to four; three operations by protocol steps (ARGS='--budget 100000')
	@$(BIN)/xor-fast sim modelcheck --operations 3 $(ARGS)

demo: build  ## eight node processes, two users, messages both ways, step by step; packets into PCAP
	@mkdir -p $(dir $(PCAP)) && $(BIN)/xor-fast demo --pcap $(PCAP) $(ARGS)

survive: build $(VENV)/with-test  ## 64 node processes under kill -9, 10,000 acknowledged values: 0 lost (about ten minutes)
	@$(BIN)/python -m tests.processes.survive $(if $(filter file,$(origin SEED)),,--seed $(SEED)) $(ARGS)

kill-points: build $(VENV)/with-test  ## kill -9 at COUNT (1,000) points around a write: what was acknowledged is there, none is torn
	@$(BIN)/python -m tests.processes.kill_points --points $(if $(filter file,$(origin COUNT)),1000,$(COUNT)) $(ARGS)

power-cuts: build $(VENV)/with-test  ## the power goes COUNT (1,000) times around a write: what was acknowledged is there, none is torn
	@$(BIN)/python -m tests.processes.power_cut --points $(if $(filter file,$(origin COUNT)),1000,$(COUNT)) $(ARGS)

pcap-frames: build  ## extract the clear RELOAD frames of PCAP into FRAMES for tshark and Wireshark
	@tools/packages test
	@$(BIN)/python tools/pcap_frames.py $(PCAP) $(FRAMES)

packages:  ## install the Debian packages that building, testing and benchmarks need
	@PYTHON=$(PYTHON) tools/packages build test bench

dist: $(VENV)/with-run  ## source distribution and wheel in dist/
	@$(PIP) build && $(BIN)/python -m build --quiet && ls -l dist

wheels: $(VENV)/with-test  ## a tested wheel in dist/ for every Python 3.11, 3.12 and 3.13 on this machine
	@tools/packages test
	@$(BIN)/python -m tests.packaging.wheels

clean:  ## remove what was built and the virtual environment; data/ stays
	rm -rf $(VENV) build dist xor_fast.egg-info cext/*.so cext/*.c xor_fast/net/*.so xor_fast/net/*.c
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- stamps: a second run of a verb costs nothing ------------------------------------------------------
$(VENV)/bin/python: | $(VENV)/packages
	@$(PYTHON) -m venv $(VENV)

$(VENV)/packages: tools/debian-packages.txt tools/packages
	@PYTHON=$(PYTHON) tools/packages build
	@mkdir -p $(VENV) && touch $@

$(VENV)/with-run: pyproject.toml | $(VENV)/bin/python
	@echo "installing what the package needs from PyPI into $(VENV)"
	@$(PYTHON) tools/requirements.py build run >$(VENV)/run.txt && $(PIP) -r $(VENV)/run.txt
	@touch $@

$(VENV)/with-%: pyproject.toml | $(VENV)/with-run
	@echo "installing the packages of the extra '$*' from PyPI into $(VENV)"
	@$(PYTHON) tools/requirements.py $* >$(VENV)/$*.txt && $(PIP) -r $(VENV)/$*.txt
	@touch $@

# One stamp per kind of build (KIND is "", -debug, -asan or -coverage); the compiler runs anew when the kind changes.
$(VENV)/built$(KIND): $(SOURCES) $(VENV)/with-run $(VENV)/installed
	@test -e $@ || ! test -e $(VENV)/built* || rm -f cext/*.so xor_fast/net/*.so
	@rm -f $(VENV)/built*
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

build/fuzz/fuzzer: $(SOURCES) $(wildcard tests/fuzz/*.py) tests/fuzz/driver.c tests/fuzz/build | $(VENV)/with-run
	@tools/packages fuzz
	@echo "compiling the fuzzer with clang"
	@tests/fuzz/build $(BIN)/python build/fuzz

# The package itself, by reference to this folder: names, versions and the command xor-fast.
$(VENV)/installed: pyproject.toml | $(VENV)/with-run
	@echo "compiling the modules of cext/"
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@
