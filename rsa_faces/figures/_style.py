"""What all figures share: sizes, colours, words, files."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.textpath import TextPath

from rsa_faces._core.checks import check_choice
from rsa_faces._core.files import atomic_path
from rsa_faces._core.words import counted
from rsa_faces.comparison import METHODS

# Widths of one and two columns of a journal, in inches.
COLUMN, PAGE = 89 / 25.4, 183 / 25.4
PAGE_HEIGHT = 240 / 25.4
# Okabe and Ito's colours, told apart by colour-blind readers (black is for data).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5C00", "#6A6A6A")
CEILING = "#D9D9D9"
# The last comes with matplotlib and has every sign.
_FONTS = ("Arial", "Helvetica", "Liberation Sans", "DejaVu Sans")
_STYLE = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    # Text stays text, which can be searched and edited.
    "svg.fonttype": "none",
    # Names of parts in the file are not drawn anew: the same figure is the same bytes.
    "svg.hashsalt": "rsa-faces",
    # TrueType: many journals refuse matplotlib's own kind (Type 3).
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    # Names are text, whatever characters they hold.
    "text.parse_math": False,
    # One image for all thumbnails of a map would be as large as the page, and mostly empty.
    "image.composite_image": False,
}


@cache
def _fonts() -> list[str]:
    """Return the first font that is here, by its name, and what it may lack signs of.

    A generic family is looked up when text is drawn, in a notebook under other settings than those
    it was measured with: its width would be another.
    """
    here = set(get_font_names())
    return list(dict.fromkeys([next(f for f in _FONTS if f in here), _FONTS[-1]]))


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the figures; the user's own settings come back afterwards."""
    with mpl.rc_context({**_STYLE, "font.family": _fonts()}):
        yield


def save_figure(figure: Figure, path: str | Path) -> list[Path]:
    """Save a figure as SVG, PNG (300 dpi) and PDF.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path-like
        Without ending.

    Returns
    -------
    list of Path
        The three files. The same figure gives the same bytes.

    See Also
    --------
    rsa_faces.figures.plot_layers : Draw similarity from layer to layer.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from matplotlib.figure import Figure
    >>> from rsa_faces.figures import save_figure
    >>> paths = save_figure(Figure(figsize=(1, 1)), pathlib.Path(tempfile.mkdtemp()) / "layers")
    >>> [path.suffix for path in paths]
    ['.svg', '.png', '.pdf']
    """
    path = Path(path)
    # What is drawn alone decides the bytes.
    without_date = {
        "svg": {"Date": None},
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "ModDate": None},
    }
    saved = []
    with style():
        for suffix, metadata in without_date.items():
            target = path.with_name(f"{path.name}.{suffix}")
            with atomic_path(target) as temporary:
                figure.savefig(
                    temporary,
                    format=suffix,
                    dpi=300,
                    metadata=metadata,
                    bbox_inches="tight",
                    pad_inches=0.03,
                )
            saved.append(target)
    return saved


def light_to_dark() -> ListedColormap:
    """Return colours for what is not below 0, which differ from the grey of a brain, also at 0."""
    return ListedColormap(mpl.colormaps["inferno_r"](np.linspace(0.05, 0.85, 256)))


def method_symbol(method: str) -> str:
    """Return how a comparison method is written on an axis."""
    name = method.removeprefix("partial-")
    symbol = METHODS[name].symbol if name in METHODS else name
    return symbol if name == method else f"partial {symbol}"


def similarity_label(method: str) -> str:
    """Return the axis label of a comparison method."""
    return f"similarity ({method_symbol(method)})"


def numbers(row: pd.Series, *, caveats: bool = True) -> str:
    """Return a region with its numbers, and why there is no ceiling where there is none."""
    text = f"{row['region']}: " if row["region"] else ""
    text += f"{counted(row['n_subjects'], 'subject')}, {row['n_conditions']} conditions"
    if not caveats:
        return text
    if row["n_subjects"] == 1:
        return f"{text}; no ceiling: one subject"
    return text if row["reliable"] else f"{text}; no reliable signal"


def base_name(network: str) -> str:
    """Return the network's name without `untrained:`."""
    return network.removeprefix("untrained:")


def shown_name(network: str, layer: str = "") -> str:
    """Return network and layer as a reader wants them."""
    name = f"untrained {base_name(network)}" if network.startswith("untrained:") else network
    return name if layer in {"", network} else f"{name} {layer}"


def choose(value: str | None, column: Iterable[str], what: str) -> str:
    """Return the value asked for, or the first of the column."""
    options = list(dict.fromkeys(column))
    return options[0] if value is None else check_choice(value, options, what=what)


def choose_all(values: Sequence[str] | None, column: Iterable[str], what: str) -> list[str]:
    """Return the values asked for, or all of the column, each once."""
    options = list(dict.fromkeys(column))
    return options if values is None else [check_choice(v, options, what=what) for v in values]


def text_width(text: str, size: float) -> float:
    """Return the width of a line of text, in inches."""
    return TextPath((0, 0), text, size=size).vertices[:, 0].max() / 72 if text.strip() else 0.0


def wrapped(text: str, width: float, size: float, after: str = "-_.:/ ") -> str:
    """Break text into lines of at most `width` inches, after these characters only."""
    lines = []
    for paragraph in text.split("\n"):
        lines.append("")
        for piece in re.findall(rf".+?(?:[{re.escape(after)}]+|$)", paragraph):
            if lines[-1] and text_width((lines[-1] + piece).rstrip(), size) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def shortened(text: str, length: int) -> str:
    """Return at most `length` characters: long names lose their middle."""
    head = length // 2
    return text if len(text) <= length else f"{text[:head]}…{text[head + 1 - length :]}"
