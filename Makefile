# Two commands: `make run` and `make test`. Everything lives in .venv; remove it with `make clean`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= toolchain,dev
DEMO := edge/assets/demo.flac

.PHONY: run test test-alone test-integration test-slow test-base check bundle teachers bench figures install-service uninstall-service clean

# The runtime alone: no torch, no compiler.
$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

# Also the toolchain and the checks. On a machine without a local torch wheel this downloads one.
$(VENV)/.test: $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'
	touch $@

# The default microphone if one can be opened, else the demo clip. Ctrl-C ends it.
run: $(VENV)/.run
	@$(BIN)/edge-run --meter || { status=$$?; \
	if [ $$status = 66 ] || [ $$status = 69 ]; then \
		echo "No microphone here: playing $(DEMO) instead."; \
		$(BIN)/edge-run --mic file:$(DEMO) --meter; \
	else exit $$status; fi; }

# Three tiers. This one needs no network but loopback, no sound server, browser, systemd or torchrun.
PYTEST := pytest -n auto --dist loadfile --durations 25
# The checks run beside it, since mypy alone takes half a minute of one core.
test: $(VENV)/.test
	@$(MAKE) --no-print-directory -j 2 check test-alone

test-alone: $(VENV)/.test
	$(BIN)/python -m $(PYTEST) --timeout 300 -m "not integration and not slow"

# Against programs of others (tests/peers/install.sh fetches some); what is not installed is skipped.
test-integration: $(VENV)/.test
	$(BIN)/python -m $(PYTEST) --timeout 600 -m "integration and not slow"

# Minutes of work: a thousand reconnects and the like.
test-slow: $(VENV)/.test
	$(BIN)/python -m $(PYTEST) --timeout 3600 -m slow

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# Only what a kiosk has: edge without torch, onnx and the rest.
BASE ?= .venv-base
$(BASE)/.base: pyproject.toml
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/pip install --quiet --disable-pip-version-check -e '.[preview]' \
		pytest pytest-xdist pytest-timeout hypothesis python-osc
	touch $@

test-base: $(BASE)/.base
	$(BASE)/bin/python -m $(PYTEST) --timeout 300 -m "not slow and not toolchain" \
		--ignore tests/integration

# A bundle from data and teachers to networks: 45 minutes on two cores, resumable. TEACHERS=runs takes
# teachers that `make teachers` trained.
DATA ?= ../shared/data
RUNS ?= runs
TEACHERS ?= models/checkpoints
bundle: $(VENV)/.test
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[teachers]'
	$(BIN)/edge-quantize distill --config quantize/student.yaml --out $(RUNS)/student --threads 1 \
		--teacher $(TEACHERS)/teacher/checkpoint.pt --embedding $(TEACHERS)/emotion/checkpoint.pt \
		--codebook $(TEACHERS)/codebook/checkpoint.pt $(PAIRED) --data $(DATA)/emodb \
		--data $(DATA)/librispeech_261spk --data $(DATA)/speech_misc --noise $(DATA)/noise_rir
	$(BIN)/edge-quantize quantize $(RUNS)/student/checkpoint.pt --out $(RUNS)/bundle \
		--threads 1

# The four teachers, from data to checkpoints under RUNS: about an hour, resumable.
PAIRED := --data $(DATA)/facegood_paired --data $(DATA)/grid_s1_video_blendshapes
teachers: $(VENV)/.test
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[teachers]'
	$(BIN)/edge-quantize train emotion --out $(RUNS)/emotion $(PAIRED) --data $(DATA)/emodb \
		--noise $(DATA)/noise_rir
	$(BIN)/edge-quantize train teacher --config quantize/teacher.yaml --out $(RUNS)/teacher \
		$(PAIRED) --data $(DATA)/emodb \
		--data $(DATA)/librispeech_261spk --data $(DATA)/speech_misc --noise $(DATA)/noise_rir
	$(BIN)/edge-quantize train codebook --out $(RUNS)/codebook $(PAIRED) --data $(DATA)/emodb \
		--data $(DATA)/librispeech_261spk --data $(DATA)/livelinkface_captures_noaudio \
		--teacher $(RUNS)/teacher/checkpoint.pt
	$(BIN)/edge-quantize train generator --out $(RUNS)/generator $(PAIRED) --data $(DATA)/emodb \
		--teacher $(RUNS)/teacher/checkpoint.pt --embedding $(RUNS)/emotion/checkpoint.pt \
		--codebook $(RUNS)/codebook/checkpoint.pt

# Every benchmark writes benchmarks/results/NAME.json; one that cannot run here does not stop the
# others. PEERS=DIR adds what others made (how to install it: benchmarks/runtime/speed.py). Hours:
# BENCH=runtime.soak.
BENCH ?= runtime.encode runtime.scale runtime.speed accuracy runtime.latency runtime.preview_tabs
PEERS ?=
bench: OPTIONS_runtime.speed := $(if $(PEERS),--peers $(PEERS))
bench: OPTIONS_accuracy := --data $(DATA)
bench: $(VENV)/.test
	@failed=; $(foreach b,$(BENCH),echo "== $(b)"; \
	$(BIN)/python -m benchmarks.$(b) $(OPTIONS_$(b)) || failed="$$failed $(b)";) \
	test -z "$$failed" || { echo "not measured:$$failed"; exit 1; }

# The tables of README.md and docs/ and the plots, from the JSON files alone.
figures: $(VENV)/.test
	$(BIN)/python -m benchmarks.pages.figures

# As a service: see docs/kiosk.md. `make install-service FLAGS=--user` for a desktop.
install-service:
	systemd/install.sh $(FLAGS)

uninstall-service:
	systemd/uninstall.sh $(FLAGS)

clean:
	rm -rf .venv .venv-* build dist *.egg-info
