"""build/tree/cstm: the import package as one folder, its files links to ours, for tools that follow no import hooks
(mypy, import-linter, mkdocstrings). The editable install maps cstm.export to export/ by such a hook."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREE = ROOT / "build" / "tree" / "cstm"


def main() -> None:
    """Make the links anew."""
    shutil.rmtree(TREE, ignore_errors=True)
    for init in ROOT.glob("*/__init__.py"):
        folder = init.parent
        place = TREE if folder.name == "cstm" else TREE / folder.name
        for file in folder.rglob("*"):
            if file.suffix == ".py" or file.name == "py.typed":
                link = place / file.relative_to(folder)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file)


if __name__ == "__main__":
    main()
