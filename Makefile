# make demo    a bundle, an overlay video and the numbers, from nothing
# make test    all that CI runs: lint, contracts, types, docs, tests
# make quick   lint, contracts, and the quick tests that need no bundle
# make types   mypy
# make docs    the documentation as a site, in build/site
# make bench-path  the whole path, measured on this machine: about five minutes
# make wheel   dist/cstm-*.whl, with a ready bundle in it
PYTHON ?= python3
BIN := .venv/bin
# PyTorch's CPU build is not on PyPI. Where pip has wheels of its own (PIP_FIND_LINKS), they are enough.
TORCH_INDEX ?= $(if $(PIP_FIND_LINKS),,https://download.pytorch.org/whl/cpu)
CLIP := data/demo/people.mp4
SPRITES := data/demo/sprites.mp4
QUICK := tests/cstm tests/commands tests/models tests/data tests/runtime
SHIPPED := build/shipped/tiny

.PHONY: demo test quick bench-path lint types contracts docs wheel tree install clean

demo: .venv/.runs
	$(BIN)/python export/build_engines.py
	$(BIN)/cstm segment $(SPRITES) "cat is eating on the left" "a kitten at the right" \
		--bundle build/tiny --out build/demo/sprites.mp4
	$(BIN)/cstm segment $(CLIP) "the woman in black walking on the left" "the person in red" \
		--bundle build/tiny --out build/demo/overlay.mp4 --masks build/demo/masks.json
	$(BIN)/cstm parity build/tiny --json build/demo/parity.json
	@echo
	@echo "bundle    build/tiny"
	@echo "overlays  build/demo/sprites.mp4 (what it was trained on), build/demo/overlay.mp4 (a real clip, which it was not)"
	@echo "masks     build/demo/masks.json"
	@echo "numbers   build/demo/parity.json, build/tiny/manifest.json"

test: install lint contracts types docs
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

quick: install lint contracts
	$(BIN)/pytest -m "not slow and not bundle" $(QUICK)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: tree
	$(BIN)/mypy
	$(BIN)/mypy tests/typed_user.py

contracts: tree
	cd build/tree && ../../$(BIN)/lint-imports ../../pyproject.toml --no-cache

docs: tree
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

bench-path: .venv/.runs build/tiny
	$(BIN)/cstm naive build/tiny --peers openvino
	$(BIN)/cstm path build/tiny --backend openvino --precision fp32

build/tiny:
	$(BIN)/python export/build_engines.py

wheel: install
	$(BIN)/cstm build --precision fp32 int8 --backend none --output $(SHIPPED)
	CSTM_SHIPPED=$(SHIPPED) $(BIN)/pip wheel -q --no-deps --wheel-dir dist .
	@ls -l dist/*.whl

tree: install
	$(BIN)/python .ci/tree.py

install: .venv/.installed

# Files are compiled when first imported: most never are.
PIP_INSTALL := $(BIN)/pip install -q --no-compile -c constraints.txt

.venv/.runs: setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP_INSTALL) torch==2.13.0 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(PIP_INSTALL) -e ".[cpu,rtx,export]"
	touch $@

.venv/.installed: .venv/.runs
	$(PIP_INSTALL) -e ".[cpu,rtx,export,train,test,docs]"
	touch $@

clean:
	rm -rf build dist .venv *.egg-info
