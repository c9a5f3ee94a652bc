"""The text files that datasets come with."""

from __future__ import annotations

import csv
from pathlib import Path

from cstm.errors import DatasetError


def read_rows(path: Path, width: int, delimiter: str = ",") -> list[list[str]]:
    """The rows of a table, without blank lines. DatasetError when it is no text, or a row has under `width` fields."""
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            for row in reader:
                if 0 < len(row) < width:
                    raise DatasetError(
                        f"{path}: line {reader.line_num} has {len(row)} of {width} fields; copy the file again"
                    )
                if row:
                    rows.append(row)
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); copy the file again") from error
    return rows


def read_sentences(path: Path, *header: str) -> list[list[str]]:
    """The rows under the header. A row's last field is a sentence and may hold commas. DatasetError as `read_rows`."""
    first, *rows = read_rows(path, len(header)) or [[]]
    if first != list(header):
        raise DatasetError(f"{path}: does not begin with the line {','.join(header)}; is it the dataset's own file?")
    split = len(header) - 1
    return [[*(field.strip() for field in row[:split]), tidy(",".join(row[split:]))] for row in rows]


def tidy(sentence: str) -> str:
    """The sentence with single spaces; the files hold the same one with and without a space at its end."""
    return " ".join(sentence.split())
