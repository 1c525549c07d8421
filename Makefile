# `make lab` to learn, `make test` to check; `make help` lists the rest. All that is
# more than a line is in scripts/bootstrap.py. Choose a Python with PYTHON=..., and
# give a target's command further arguments with ARGS="...".

export PYTHON
ARGS ?=
BOOTSTRAP = @python=$$(sh scripts/find_python.sh) && exec "$$python" scripts/bootstrap.py

.DEFAULT_GOAL := help
.PHONY: help lab test data demo build lint bench-grading bench-training bench-lessons

help: ## list the targets
	@awk -F ': ## ' '/^[a-z-]+: ## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

lab: ## make the environment, get the data, open JupyterLab on the first lesson
	$(BOOTSTRAP) lab $(ARGS)

test: ## install all that the tests need, and run every test
	$(BOOTSTRAP) test $(ARGS)

data: ## get MNIST and check it
	$(BOOTSTRAP) run course vae-edu data $(ARGS)

demo: ## a small class, from release to gradebook (ARGS="--keep DIR" to look at it)
	$(BOOTSTRAP) demo $(ARGS)

build: ## build notebooks, stubs and fingerprints from solutions/
	$(BOOTSTRAP) run dev vae-edu build $(ARGS)

bench-grading: ## measure grading beside plain nbgrader (half an hour; a quiet machine)
	$(BOOTSTRAP) run dev python -m benchmarks.grading --dask $(ARGS)

lint: ## check format, style and types
	$(BOOTSTRAP) run dev ruff format --check .
	$(BOOTSTRAP) run dev ruff check .
	$(BOOTSTRAP) run dev mypy

bench-training: ## time training and evaluation against plain loops, minutes
	$(BOOTSTRAP) run dev python -m benchmarks.training $(ARGS)

bench-lessons: ## time the execution of each lesson, minutes
	$(BOOTSTRAP) run dev python -m benchmarks.lessons $(ARGS)
