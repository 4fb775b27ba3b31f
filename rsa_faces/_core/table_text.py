"""Text of the files of tables: how it is encoded, what separates columns, where rows are."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import IO

import numpy as np

from rsa_faces._core.errors import InputError, MissingFileError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# What spreadsheets take for the beginning of a formula, also in full width.
FORMULA = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"


@dataclass(frozen=True)
class Source:
    """Text of a table, how it is split, the line of each row, and how many hold anything."""

    text: str
    separator: str
    header: list[str]
    lines: np.ndarray
    n_rows: int
    path: Path

    @property
    def where(self) -> str:
        """Say what was read, and how it was split."""
        if len(self.header) == 1 or self.path.suffix.lower() == ".xlsx":
            return str(self.path)
        return f"{self.path} (separated by {SEPARATORS[self.separator]})"


def opened(
    path: Path, what: str, declared: Iterable[str] = (), names: Sequence[str] = ()
) -> Source:
    """Return the text of a file, its separator, its header and the line of each row.

    `declared` columns must be there, those of `names` hold names.
    """
    with text_stream(path, what, names) as stream:
        text = stream.read()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Empty lines above the header, and the line that Excel writes for itself.
    above = next(re.finditer(r"(?:[ \t]*\n)*(?:sep=(.)\n)?", text))  # of nothing, maybe
    text = text[above.end() :]
    if not text.strip():
        raise InputError(f"expected {what} at {path}, but the file is empty.")
    separator = above.group(1) or _separator(text, path, set(declared))
    if separator not in SEPARATORS:
        raise InputError(
            f"expected columns of {path} to be separated by commas, semicolons or tabs, got "
            f"{separator!r}."
        )
    skipped = above.group().count("\n")
    lines, header = _lines(text, separator, path, skipped), _header(text, separator)
    if len(header) == 1 and (gaps := np.diff(lines) > 1).any() and '"' not in text:
        # In a table of one column an empty line is an empty cell.
        raise InputError(
            f"expected text in every row of {path}, but line {lines[gaps.argmax()] + 1} is empty."
        )
    # Spreadsheets leave rows of separators at the end; above it they are gaps.
    end = text[len(text.rstrip(f" \t\n{separator}")) :]
    n_rows = len(lines) - 1
    if end.strip("\n"):
        last = text.count("\n") - end.count("\n") + 1 + skipped
        n_rows = int((lines[1:] <= last).sum())
    return Source(text, separator, header, lines[1:], n_rows, path)


def _header(text: str, separator: str) -> list[str]:
    """Return the names of columns in the first line."""
    start = io.StringIO(text[: 2**20], "")
    return [unguarded(name.strip()) for name in next(csv.reader(start, delimiter=separator))]


@contextlib.contextmanager
def text_stream(path: Path, what: str, names: Sequence[str] = ()) -> Iterator[io.TextIOBase]:
    """Open a file as text, whatever its encoding; sheets of Excel become tab-separated text."""
    if path.is_dir():
        raise InputError(f"expected {what}, but {path} is a folder.")
    if not path.is_file():
        raise MissingFileError(f"expected {what}, but {path} does not exist.")
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            start = file.read(4096)
            file.seek(0)
            if start.startswith(b"PK\x03\x04"):
                yield io.StringIO(_sheet(file, path, names), "")
                return
            yield io.TextIOWrapper(file, _encoding(start, path, what), newline="")
    except UnicodeDecodeError as err:
        raise InputError(
            f"expected {what} in UTF-8, but {path} holds the byte {err.object[err.start]:#04x}. "
            "Save it as 'CSV UTF-8'."
        ) from err
    except (OSError, EOFError, zlib.error) as err:
        raise InputError(f"expected {what}, but {path} cannot be read: {err}.") from err


def _encoding(start: bytes, path: Path, what: str) -> str:
    """Return the encoding of a file by its first bytes."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in start:
        # Letters of European languages have a zero byte each in UTF-16.
        even, odd = start[::2].count(0), start[1::2].count(0)
        if max(even, odd) > 0.4 * len(start) and min(even, odd) == 0:
            return "utf-16-be" if even else "utf-16-le"
        raise InputError(
            f"expected {what} as text (CSV, TSV) or .xlsx, but {path} is a binary file."
        )
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputError(f"expected {what}, but {path} is an old Excel file. Save it as .xlsx.")
    return "utf-8-sig"


def _sheet(file: IO[bytes] | gzip.GzipFile, path: Path, names: Sequence[str]) -> str:
    """Return the one sheet of an Excel file that holds something, as tab-separated text."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except Exception as err:  # of zip, XML and its own
        raise InputError(
            f"expected a table, but {path} is neither text nor an .xlsx file: {err}."
        ) from err
    with contextlib.closing(book):
        filled = {}
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what the file says of its size may be wrong
            cells = [row for row in sheet.iter_rows() if any(c.value is not None for c in row)]
            if cells:
                filled[sheet.title] = cells
    if len(filled) != 1:
        raise InputError(
            f"expected one sheet in {path}, got {len(filled)}: "
            f"{', '.join(map(repr, filled)) or 'none holds anything'}. Save the one as CSV or "
            ".xlsx of its own."
        )
    (rows,) = filled.values()
    of_names = [str(cell.value).strip() in names for cell in rows[0]]
    width = max(i + 1 for row in rows for i, cell in enumerate(row) if cell.value is not None)
    of_names += [False] * (width - len(of_names))
    text = io.StringIO("")
    line = 1
    for row in rows:
        # A row of the sheet is a line of the text, so that errors name the row.
        number = next(cell.row for cell in row if cell.value is not None)
        text.write("\n" * (number - line))
        line = number + 1
        cells = [_cell(c, path, name) for c, name in zip(row, of_names, strict=False)]
        text.write("\t".join([*map(_quoted, cells), *[""] * (width - len(cells))]) + "\n")
    return text.getvalue()


def _quoted(cell: str) -> str:
    """Return a cell in quotes where it holds what separates cells, or a quote."""
    return '"' + cell.replace('"', '""') + '"' if re.search('["\t\r]', cell) else cell


def _cell(cell, path: Path, is_name: bool) -> str:
    """Return a cell of a sheet as it is shown, on one line."""
    value = cell.value
    if value is None:
        return ""
    place = f"cell {cell.coordinate} of {path}"
    if cell.data_type == "e":
        raise InputError(f"expected a value in {place}, got the error {value}.")
    if isinstance(value, (datetime, date, time)):
        if not is_name:
            return value.isoformat()
        raise InputError(
            f"expected a name in {place}, got the date {value}. Excel makes dates of "
            "names such as MAR1 or 1-2: format the column as text and enter them again."
        )
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, (int, float)) and float(value).is_integer() and abs(value) < 1e15:
        # 7 that is formatted 000 is shown as 007, and meant so.
        zeros = re.fullmatch(r"0+", cell.number_format or "")
        return f"{int(value):0{len(zeros.group(0))}d}" if zeros else str(int(value))
    return str(value).replace("\n", " ")


def _separator(text: str, path: Path, declared: set[str]) -> str:
    """Return what separates columns, by the header; ambiguity is an error."""
    headers = {}
    for separator in SEPARATORS:
        with contextlib.suppress(csv.Error):
            headers[separator] = _header(text, separator)
    splits = [s for s, header in headers.items() if len(header) > 1]
    if len(splits) > 1:
        splits = [s for s in splits if declared <= set(headers[s])] or splits
    if len(splits) > 1:
        fitting = []
        for separator in splits:
            with contextlib.suppress(InputError):
                _lines(text, separator, path, 0)
                fitting.append(separator)
        splits = fitting or splits
    if len(splits) > 1:
        raise InputError(
            f"expected one separator of columns in {path}, but its header could be split by "
            f"{' or '.join(SEPARATORS[s] for s in splits)}. Put names that hold one in quotes."
        )
    if splits:
        return splits[0]
    return "\t" if ".tsv" in path.suffixes else ","


def _lines(text: str, separator: str, path: Path, skipped: int) -> np.ndarray:
    """Return the line of the header and of each row; rows of other widths are an error.

    `skipped` is the number of lines above the text.
    """
    if '"' in text:
        reader = csv.reader(io.StringIO(text, ""), delimiter=separator, strict=True)
        return np.array([line for line, _ in checked_rows(reader, path, skipped)])
    # Without quotes every separator separates: counted at once.
    data = np.frombuffer((text if text.endswith("\n") else text + "\n").encode(), np.uint8)
    ends, marks = (np.flatnonzero(data == ord(mark)) for mark in ("\n", separator))
    if (n_marks := int(np.searchsorted(marks, ends[0]))) and len(marks) == n_marks * len(ends):
        of_lines = marks.reshape(len(ends), n_marks)
        if (of_lines[:, -1] < ends).all() and (of_lines[1:, 0] > ends[:-1]).all():
            return np.arange(len(ends)) + 1 + skipped
    widths = 1 + np.diff(np.searchsorted(marks, ends), prepend=0)
    rows = np.ones(len(ends), dtype=bool)
    if len(odd := np.flatnonzero((widths != widths[0]) | (widths == 1))):
        content = text.split("\n")
        for i in odd.tolist():
            if widths[i] == 1 and not content[i].strip(" \t"):
                rows[i] = False
            elif widths[i] != widths[0]:
                raise _wrong_width(
                    i + 1 + skipped, int(widths[i]), int(widths[0]), content[i], path
                )
    return np.flatnonzero(rows) + 1 + skipped


def checked_rows(reader, path: Path, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Yield line and cells of the header and of each row; rows of other widths are an error."""
    width, line = None, skipped
    try:
        for row in reader:
            line, before = reader.line_num + skipped, line
            if not row or (len(row) == 1 and row[0] and not row[0].strip(" \t")):
                continue
            width = len(row) if width is None else width
            if len(row) != width:
                raise _wrong_width(before + 1, len(row), width, ", ".join(row), path)
            yield before + 1, row
    except csv.Error as err:
        raise InputError(
            f"expected a table, but line {line + 1} of {path} cannot be split: {err}. Is a "
            "quotation mark missing?"
        ) from err


def _wrong_width(line: int, got: int, expected: int, content: str, path: Path) -> InputError:
    """Return the error for a row that is wider or narrower than the header."""
    content = content if len(content) <= 40 else "…" + content[-40:]
    hint = (
        "A separator at its end, or within a text or a number? Put such a text in quotes."
        if got > expected
        else "Is the file whole?"
    )
    return InputError(
        f"expected {expected} cells in every line of {path}, as in its header, but line {line} has "
        f"{got}: {content!r}. {hint}"
    )


def unguarded(cell: str) -> str:
    """Return text without the apostrophe that kept it from being a formula."""
    return cell[1:] if re.match(f"'+[{FORMULA}]", cell) else cell
