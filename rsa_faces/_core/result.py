"""What every result has: tables that cannot be changed, notes, files, a figure, a short repr."""

from __future__ import annotations

import functools
import html
import importlib
import inspect
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, TypeVar

import h5py
import numpy as np
import pandas as pd

from rsa_faces._core import stored
from rsa_faces._core.errors import InputError
from rsa_faces._core.warning import warn

FORMAT = "rsa-faces result"
VERSION = 1
#: Subpackages that define results; imported when a file names a class that is not known yet.
_HOMES = ("analyses", "behaviour", "brain", "inference", "mapping", "networks", "stimuli")
_ROWS, _COLUMNS, _WIDTH = 3, 6, 100  # of the table in a repr; letters in a line

Made = TypeVar("Made", bound="BaseResult")
Given = ParamSpec("Given")
Returned = TypeVar("Returned")


@dataclass(frozen=True, eq=False, repr=False)
class BaseResult:
    """The base of all results: a frozen dataclass whose content cannot be changed.

    Most have a field ``table``, and further tables by name. Tables and mappings are handed out as
    copies, and arrays cannot be written to.

    Parameters
    ----------
    settings : mapping
        The options it was made with.
    notes : tuple of str
        What a reader must know before concluding.

    See Also
    --------
    load_result : Read a result of any class from a file.

    Notes
    -----
    A class names its figure where it is defined: ``class Readout(BaseResult,
    figure="plot_readout")``.
    """

    settings: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    #: Name of the function in `rsa_faces.figures` that draws it; None: it has no figure.
    figure: ClassVar[str | None] = None

    def __init_subclass__(cls, *, figure: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if figure is not None:
            cls.figure = figure
        stored.storable(cls, stored.fields_of, lambda parts: _made(cls, parts))

    def __post_init__(self) -> None:
        for name, value in stored.fields_of(self).items():
            object.__setattr__(self, name, _kept(value))
        if isinstance(self.notes, str):
            raise TypeError(f"expected notes as a tuple of text, got the text {self.notes!r}.")
        object.__setattr__(self, "notes", tuple(self.notes))

    def __getattribute__(self, name: str) -> Any:
        # Frozen is the field, not the table in it: handed out itself, it could be written to.
        value = super().__getattribute__(name)
        if name.startswith("__") or name not in type(self).__dataclass_fields__:
            return value
        return _handed_out(value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # NumPy drops the read-only flag when it unpickles.
        for name, value in state.items():
            object.__setattr__(self, name, _kept(value))

    def to_frame(self) -> pd.DataFrame:
        """Return the main table (a copy)."""
        return self.table

    def equals(self, other: object) -> bool:
        """Whether `other` is of the same class with the same content; NaN equals NaN."""
        return type(other) is type(self) and stored.same(self, other)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all content to an HDF5 file, whole or not at all.

        Parameters
        ----------
        path : path-like
            A file there is replaced. Read it with :meth:`load` or `rsa_faces.load_result`.

        Raises
        ------
        InputError
            If a setting holds something that is no data, such as a function.
        """
        with stored.new_file(path) as file:
            file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
            stored.write(file, "result", self, where=type(self).__name__)

    @classmethod
    def load(cls: type[Made], path: str | os.PathLike[str]) -> Made:
        """Read a result of this class that :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        InputError
            If it holds something else.
        """
        result = load_result(path)
        if not isinstance(result, cls):
            raise InputError(
                f"expected {path} to hold a {cls.__name__}, got a {type(result).__name__}. Read it "
                "with rsa_faces.load_result."
            )
        return result

    def plot(self, ax: Any = None, **style: Any) -> Any:
        """Draw the result with its figure function, and return what that returns.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; for figures of several panels leave it out.
        **style
            Options of the function, such as `title`.

        Raises
        ------
        InputError
            If the result has no figure, or its figure has several panels and `ax` is given.
        """
        name = type(self).__name__
        if self.figure is None:
            raise InputError(f"{name} has no figure; draw what you need of its to_frame().")
        draw = getattr(importlib.import_module("rsa_faces.figures"), self.figure)
        if ax is None:
            return draw(self._drawn(), **style)
        if "ax" not in inspect.signature(draw).parameters:
            raise InputError(
                f"expected no `ax` for {name}: rsa_faces.figures.{self.figure} makes a figure of "
                "its own."
            )
        return draw(self._drawn(), ax=ax, **style)

    def with_notes(self: Made, *notes: str) -> Made:
        """Return the same result with more notes; what it says already is not said twice."""
        together = tuple(dict.fromkeys((*self.notes, *notes)))
        return self if together == self.notes else replace(self, notes=together)

    def __repr__(self) -> str:
        parts = [text for name, value in self._content() if (text := _told(name, value))]
        lines = [f"{type(self).__name__}({', '.join(parts)})"]
        table = vars(self).get("table")
        if isinstance(table, pd.DataFrame) and len(table):
            shown = table.iloc[:_ROWS, :_COLUMNS]
            text = shown.to_string(index=False, float_format="{:.3g}".format, max_colwidth=24)
            lines += [line.rstrip() for line in text.splitlines()]
            if len(table) > _ROWS:
                lines.append(f"... {len(table)} rows")
        if self.notes:
            first = f"note 1 of {len(self.notes)}: {self.notes[0]}"
            lines.append(first)
        return "\n".join(_short(line) for line in lines)

    def _repr_html_(self) -> str:
        head = html.escape(repr(self).splitlines()[0])
        table = self.to_frame()
        rows = table.head(10).to_html(index=False, float_format="{:.3g}".format, border=0)
        more = f"<p>{len(table)} rows</p>" if len(table) > 10 else ""
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<div><p><b>{head}</b></p>{rows}{more}{f'<ul>{notes}</ul>' if notes else ''}</div>"

    def _drawn(self) -> Any:
        """Return what the figure function takes."""
        return self

    def _content(self) -> list[tuple[str, Any]]:
        """Return name and value of each field but settings and notes, as they are kept."""
        kept = vars(self)
        return [(f.name, kept[f.name]) for f in fields(self) if f.name not in _OWN]


_OWN = {f.name for f in fields(BaseResult)}


def load_result(path: str | os.PathLike[str]) -> BaseResult:
    """Read a result of any class from a file that its ``save`` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    BaseResult
        Of the class that was saved, with equal content. Files hold plain data: reading one runs
        no code that came with it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If it is no HDF5 file, holds something else, or was written by a newer version.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> x = np.random.default_rng(0).normal(size=(20, 8))
    >>> found = rf.analyses.layer_agreement({"fc": x}, {"fc": 3 * x}, conditions=list("abcdefghij"
    ...     "klmnopqrst"), methods=["cka"], n_boot=20, n_permutations=19)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "found.h5"
    >>> found.save(path)
    >>> rf.load_result(path).equals(found)
    True
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a file with a result, but {path} does not exist.")
    try:
        file = h5py.File(path, "r")
    except OSError as err:
        raise InputError(
            f"expected an HDF5 file, but {path} cannot be read as one: {err}."
        ) from err
    with file:
        if (kind := file.attrs.get("format")) != FORMAT:
            raise InputError(
                f"expected a file written by a result's save(), but {path} has format {kind!r}."
            )
        if file.attrs["version"] > VERSION:
            raise InputError(
                f"{path} was written by a newer rsa-faces (format version "
                f"{file.attrs['version']}, this one reads up to {VERSION}). Upgrade rsa-faces to "
                "read it."
            )
        for home in _HOMES:  # their classes are known from here on
            importlib.import_module(f"rsa_faces.{home}")
        return stored.read(file["result"])


def keep_warnings(function: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """Put what a function warns of into the notes of the result it returns (a decorator).

    The warnings are given, too: each sentence once, at the line that called the function.
    """

    @functools.wraps(function)
    def wrapped(*args: Given.args, **kwargs: Given.kwargs) -> Any:
        caught: list[warnings.WarningMessage] = []
        try:
            with warnings.catch_warnings(record=True, action="always") as caught:
                result: Any = function(*args, **kwargs)
        finally:
            # Given again where the user called: recorded ones are shown to nobody.
            for text, one in {str(one.message): one for one in caught}.items():
                if issubclass(one.category, UserWarning):
                    warn(text, one.category)
                else:
                    warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        said = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
        return result.with_notes(*said)

    return wrapped


def _made(cls: type[Made], parts: dict[str, Any]) -> Made:
    """Make a result of what a file holds."""
    wanted = {f.name: f for f in fields(cls)}
    needed = {
        name
        for name, f in wanted.items()
        if f.default is MISSING and f.default_factory is MISSING and name not in parts
    }
    if needed or set(parts) - set(wanted):
        differs = sorted(needed | (set(parts) - set(wanted)))
        raise InputError(
            f"expected the fields of {cls.__name__}, but the file differs in {differs}: another "
            "version of rsa-faces wrote it."
        )
    return cls(**parts)


def _kept(value: Any) -> Any:
    """Return a value as a result keeps it: its own copy of a table, an array as read-only."""
    if isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
        return value
    return _handed_out(value)


def _handed_out(value: Any) -> Any:
    """Return a copy of a table, and of mappings and lists with what is in them."""
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return value.copy()
    if isinstance(value, Mapping):
        return {key: _handed_out(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_handed_out(inner) for inner in value]
    return value


def _told(name: str, value: Any) -> str:
    """Return what a repr says of a field."""
    if isinstance(value, (bool, np.bool_, str, int, np.integer)):
        return f"{name}={value}" if not isinstance(value, str) else f"{name}={value!r}"
    if isinstance(value, (float, np.floating)):
        return f"{name}={value:.3g}"
    if isinstance(value, np.ndarray):
        return f"{name}={value.item():.3g}" if value.size == 1 else f"{name}: {value.shape}"
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return f"{name}: {len(value)} rows"
    if isinstance(value, (tuple, list, Mapping)):
        return f"{name}: {len(value)}"
    return "" if value is None else f"{name}: {type(value).__name__}"


def _short(line: str) -> str:
    """Cut a line that is too long."""
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."
