"""What all figures share: sizes, colours, words, files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from rsa_faces._files import atomic_path

# Widths of one and two columns of a journal, in inches.
COLUMN, PAGE = 89 / 25.4, 183 / 25.4
# Okabe and Ito's colours, told apart by colour-blind readers (black is for data).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5C00", "#6A6A6A")
CEILING = "#D9D9D9"
METHOD_NAMES = {
    "pearson": "Pearson r",
    "spearman": "Spearman ρ",
    "rho-a": "Spearman ρ-a",
    "kendall": "Kendall τ-b",
    "tau-a": "Kendall τ-a",
    "cosine": "cosine",
    "corr_cov": "whitened Pearson r",
    "cosine_cov": "whitened cosine",
}
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
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
    "svg.fonttype": "none",
    "svg.hashsalt": "rsa-faces",
    "pdf.fonttype": 42,
    "figure.dpi": 100,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the figures; the user's own settings come back afterwards."""
    with mpl.rc_context(_STYLE):
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
    """
    path = Path(path)
    without_date = {"svg": {"Date": None}, "png": {"Software": None},
                    "pdf": {"CreationDate": None, "ModDate": None}}  # fmt: skip
    saved = []
    with style():
        for suffix, metadata in without_date.items():
            target = path.with_name(f"{path.name}.{suffix}")
            with atomic_path(target) as temporary:
                figure.savefig(temporary, format=suffix, dpi=300, metadata=metadata,
                               bbox_inches="tight", pad_inches=0.03)  # fmt: skip
            saved.append(target)
    return saved


def similarity_label(method: str) -> str:
    """Return the axis label of a comparison method."""
    return f"similarity ({METHOD_NAMES.get(method, method)})"


def base_name(network: str) -> str:
    """Return the network's name without `untrained:`."""
    return network.removeprefix("untrained:")
