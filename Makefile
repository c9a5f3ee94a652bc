# make demo    a bundle, an overlay video and the numbers, from nothing
# make test    lint and tests
PYTHON ?= python3
BIN := .venv/bin
# PyTorch's CPU build is not on PyPI. Where pip has wheels of its own (PIP_FIND_LINKS), they are enough.
TORCH_INDEX ?= $(if $(PIP_FIND_LINKS),,https://download.pytorch.org/whl/cpu)
CLIP := data/demo/people.mp4
SPRITES := data/demo/sprites.mp4

.PHONY: demo test install clean

demo: install
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

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest

install: .venv/.installed

.venv/.installed: setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt torch==2.13.0 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(BIN)/pip install -q -c constraints.txt -e ".[cpu,rtx,export,train,test]"
	touch $@

clean:
	rm -rf build .venv *.egg-info
