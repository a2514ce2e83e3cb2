# Two commands do all the set-up: `make repro` (the main job) and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
OUT ?= gpu-results
DATA = $(wildcard .gpu/cifar10_94.tar.gz)
GPU = python -m benchmarks.gpu

.PHONY: help setup repro free new known study page studies verify curate predict export register test test-all lint site bench gpu plan sweep ui systems leak cluster team lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/installed ## make .venv with the pinned set (7 GB, a few minutes, once)

# The last line: every DVC of this .venv checks params.yaml before it renders dvc.yaml, and writes its own files whole.
.venv/installed: requirements.lock stages/cells/guard.py stages/cells/source.py stages/cells/pipelines.py stages/core/rendered.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "error: $(PYTHON) is $$($(PYTHON) -V); Evenhand needs Python 3.11 to 3.13: make setup PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python stages/cells/guard.py
	@touch $@

# What `dvc repro` does, with as many cells at once as there are cores, or GPUs (docs/scale.md).
REPRO = python -m stages.tools.side_by_side $(if $(JOBS),--jobs $(JOBS)) $(if $(CLUSTER),--cluster=$(call quoted,CLUSTER))

repro: setup ## run the pipeline on the study in params.yaml; ends with reports/index.html (JOBS=4: cells at once; CLUSTER=ray://host:10001: on a cluster)
	$(REPRO)
	@python -m stages.track # a fresh clone has the cells' results from git, so DVC runs no stage that would log them
	@echo "The report: file://$(CURDIR)/reports/index.html"

verify: setup $(if $(STUDY),known) ## for reviewers: check everything, run the study again, write verify/certificate.md (STUDY=..., ARGS="--cells mlp-0")
ifdef STUDY
	cd studies/$(STUDY) && PYTHONPATH=../.. python -m stages.verify $(ARGS)
else
	python -m stages.verify --studies $(ARGS)
endif

# A path or name is quoted for the shell, whatever it holds; NAME counts only where it is given to make itself.
quoted = '$(subst ','\'',$(value $1))'
free: # refuses a NAME that is taken, before the environment is set up
ifeq ($(firstword $(origin NAME)),command)
	@test -z $(call quoted,NAME) || test ! -e studies/$(call quoted,NAME) || { echo "error: studies/"$(call quoted,NAME)" is there already, and nothing is overwritten; choose another NAME"; exit 1; }
endif

new: free setup ## your own pictures: look at a folder, write studies/NAME (IMAGES=~/pictures [NAME=...] [ARGS="--yes"])
	@python -m studies.new $(if $(filter command,$(firstword $(origin NAME))),--name=$(call quoted,NAME)) $(ARGS) -- $(call quoted,IMAGES)

# DVC asks for the file of decisions; a study that is older than it gets one that decides nothing.
undecided = test -e "$1/data/curation.csv" || { mkdir -p "$1/data" && echo path,sha256,decision,value,reason,who,when,seen > "$1/data/curation.csv"; }

known:
	@test -f studies/$(STUDY)/params.yaml || { cd studies; echo "error: no study has this name; STUDY is one of: $$(echo */params.yaml | sed 's|/params.yaml||g; s/ /, /g')"; exit 1; }

study: setup known ## run a study, published or your own: make study STUDY=cifar10_fa (JOBS=4, CLUSTER=...)
	@for link in dvc.yaml stages; do ln -sfn ../../$$link studies/$(STUDY)/$$link; done
	@$(call undecided,studies/$(STUDY))
	cd studies/$(STUDY) && $(REPRO)
	@echo "The report: file://$(CURDIR)/studies/$(STUDY)/reports/index.html"

page: setup known ## the page of a study that was run, from the files in git: make page STUDY=cifar10_full
	@for link in dvc.yaml stages; do ln -sfn ../../$$link studies/$(STUDY)/$$link; done
	cd studies/$(STUDY) && dvc repro --single-item report
	@echo "The report: file://$(CURDIR)/studies/$(STUDY)/reports/index.html"

studies: setup ## bring all studies that were run up to date: nothing to do where DVC's cache has them
	@for lock in studies/*/dvc.lock; do $(call undecided,$${lock%/dvc.lock}); for link in dvc.yaml stages; do ln -sfn ../../$$link "$${lock%dvc.lock}$$link"; done; done
	dvc repro -P

curate: setup $(if $(STUDY),known) ## decide by hand on copies, labels and damaged files, in a browser (STUDY=..., ARGS="--port 9000")
ifdef STUDY
	cd studies/$(STUDY) && PYTHONPATH=../.. python -m stages.curate $(ARGS)
else
	python -m stages.curate $(ARGS)
endif

# The champion of a study, or another of its variants.
CHOSEN = $(if $(VARIANT),--variant=$(call quoted,VARIANT))
IN_STUDY = $(if $(STUDY),cd studies/$(STUDY) && PYTHONPATH=../..)

predict: setup $(if $(STUDY),known) ## what the champion of a study says of pictures: make predict IMAGES=folder (STUDY=..., VARIANT=..., ARGS="--top 5")
	@test -n $(call quoted,IMAGES) || { echo "error: name a picture, a folder, @list.txt or -: make predict IMAGES=folder"; exit 1; }
	@python -m stages.predict $(if $(STUDY),--study=studies/$(STUDY)) $(CHOSEN) $(ARGS) -- $(call quoted,IMAGES)

export: setup $(if $(STUDY),known) ## the champion as ONNX, with a model card and a data card, in export/ (STUDY=..., VARIANT=..., ARGS="--int8")
	@$(IN_STUDY) python -m stages.export $(CHOSEN) $(ARGS)

register: setup $(if $(STUDY),known) ## the champion in the MLflow registry, ready for `mlflow models serve` (STUDY=..., VARIANT=..., ARGS="--seed 0")
	@$(IN_STUDY) python -m stages.export.register $(CHOSEN) $(ARGS)

test: setup ## the default test suite
	python -m pytest -n 2 --dist loadfile -q

test-all: setup ## the slow tests too
	python -m pytest -n 2 --dist loadfile -q -m "slow or not slow"

lint: setup ## ruff and mypy
	ruff check .
	ruff format --check .
	mypy

site: setup ## the documentation as a site: site/index.html; a broken link is an error
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "The documentation: file://$(CURDIR)/site/index.html (with search: python -m http.server --directory site --bind 127.0.0.1)"

bench: setup ## the benchmarks that need no pictures of yours; `python -m benchmarks.copies --help` names the others
	python -m benchmarks.scale hashes --counts 100000 1000000
	python -m benchmarks.train
	python -m benchmarks.report
	python -m benchmarks.statistics
	python -m benchmarks.designs

plan: setup ## the smallest difference a design decides, from this study as a pilot or ARGS="--accuracy 0.85 --seed-sd 1"
	python -m stages.tools.plan $(ARGS)

gpu: ## on a machine with a GPU: measure, repeat, train cifar10_gpu and cifar10_94 (OUT=folder; PYTHON's own packages where there is no .venv)
	$(GPU) measure --minutes 3 --out $(OUT)/measure $(DATA:%=--data %)
	$(GPU) repeat --gpu --minutes 2 --out $(OUT)/repeat $(DATA:%=--data %)
	$(GPU) cells --gpu --minutes 9 --jobs 3 --out $(OUT)/cells --study studies/cifar10_gpu $(DATA:%=--data %)
	$(GPU) cells --gpu --minutes 9 --jobs 2 --out $(OUT)/cells94 --study studies/cifar10_94 $(DATA:%=--data %)

sweep: setup ## compare DVC experiments that differ in one setting: make sweep PARAM=lr
	python -m stages.tools.sweep $(PARAM)

ui: setup ## the MLflow page of all runs
	mlflow ui

systems: setup ## build all 37 systems of the four studies, compare their parameters: studies/systems.csv
	python -m studies.systems

CLEAN ?= bananas_scratch
PUBLISHED ?= $(CLEAN:_clean=)_published

leak: setup ## what the copies in bananas were worth: run both halves, compare them (CLEAN=bananas_pretrained_clean: with weights)
	@for study in $(PUBLISHED) $(CLEAN); do $(MAKE) --no-print-directory study STUDY=$$study || exit 1; done
	python -m studies.leak studies/$(PUBLISHED) studies/$(CLEAN)
	dvc repro studies/$(CLEAN)/dvc.yaml:report

EXTRA = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$@"], sep="\n")
ADD = set -o pipefail; $(BIN)/python -c '$(EXTRA)' | $(BIN)/python -m pip install --quiet --disable-pip-version-check -r /dev/stdin
cluster: setup ## add Ray to .venv, for CLUSTER=...; here and on every node (docs/scale.md)
	$(ADD)

team: setup ## add the drivers of PostgreSQL and S3 to .venv, for an MLflow server (docs/scale.md)
	$(ADD)

lock: ## resolve the ranges of pyproject.toml anew (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url --generate-hashes -o requirements.lock
