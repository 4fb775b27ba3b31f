"""Pages to look around in a map: one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
import json
import os
import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import to_hex

from rsa_faces._core.files import atomic_path

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """An HTML page.

    Parameters
    ----------
    html : str
        The whole page, with its scripts and data.
    """

    html: str

    def __repr__(self) -> str:
        return f"Page({len(self.html.encode()) / 1e6:.2g} MB of HTML)"

    def _repr_html_(self) -> str:
        """Show the page in a notebook."""
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" width="700" height="480" '
            'frameborder="0"></iframe>'
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, whole or not at all."""
        with atomic_path(path) as temporary:
            temporary.write_text(self.html, encoding="utf-8")

    def open_in_browser(self) -> Path:
        """Write the page to a temporary file, open it and return where it is."""
        with tempfile.NamedTemporaryFile(
            "w", suffix=".html", encoding="utf-8", delete=False
        ) as file:
            file.write(self.html)
        webbrowser.open(Path(file.name).as_uri())
        return Path(file.name)


def surface_page(
    vertices: np.ndarray,
    faces: np.ndarray,
    values: np.ndarray,
    colors: np.ndarray,
    *,
    scale: list,
    limits: tuple[float, float],
    names: tuple[str, ...],
    label: str,
    view: str,
    title: str,
) -> Page:
    """Return a page with a surface that can be turned.

    Parameters
    ----------
    vertices, faces : ndarray
        As in a Surface.
    values : ndarray, shape (n_vertices,)
        Shown where the pointer is; NaN: nothing. With `names` their numbers.
    colors : ndarray, shape (n_vertices, 3)
        From 0 to 1.
    scale : list
        Colours from the lowest to the highest value, or of each name.
    """
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    points = vertices - middle
    points /= np.linalg.norm(points, axis=1).max()
    data = {
        "points": _packed(points, "<f4"),
        "faces": _packed(faces, "<u4"),
        "colors": _packed(np.rint(255 * colors), "u1"),
        "values": _packed(values, "<f4"),
        "scale": [to_hex(color) for color in scale],
        "names": list(names),
        "label": label,
        "low": limits[0],
        "high": limits[1],
        "view": view,
    }
    return _page(data, "surface.js", title)


def volume_page(
    grid: dict,
    under: dict,
    codes: np.ndarray,
    *,
    palette: list,
    scale: list,
    limits: tuple[float, float],
    names: tuple[str, ...],
    label: str,
    start: list[float],
    smooth: bool,
    title: str,
) -> Page:
    """Return a page with three slices through a point that can be moved.

    Parameters
    ----------
    grid, under : dict
        ``array`` (values, NaN: nothing; what lies under them from 0, nothing, to 255), ``origin``
        and ``step`` in mm.
    codes : ndarray of int, of the shape of the values
        Number of the colour in the palette, from 1; 0 is no colour.
    palette, scale : list
        Colours; those of the legend, from the lowest to the highest value, or of each name.
    start : list of float
        The first point, in mm.
    smooth : bool
        Whether what lies under is drawn smoothly.
    """

    def packed(one: dict, name: str, kind: str) -> dict:
        return {
            name: _packed(one["array"], kind),
            "shape": list(one["array"].shape),
            "origin": [float(v) for v in one["origin"]],
            "step": [float(v) for v in one["step"]],
        }

    data = {
        "grid": packed(grid, "values", "<f4"),
        "under": packed(under, "gray", "u1"),
        "codes": _packed(codes, "u1"),
        "palette": [[int(round(255 * float(v))) for v in color[:3]] for color in palette],
        "scale": [to_hex(color) for color in scale],
        "names": list(names),
        "label": label,
        "low": limits[0],
        "high": limits[1],
        "start": start,
        "smooth": smooth,
    }
    return _page(data, "volume.js", title)


def _page(data: dict, script: str, title: str) -> Page:
    """Return the page with its data and script."""
    # "</" and "<!--" would end the script, or begin a comment.
    written = json.dumps(data, ensure_ascii=False, allow_nan=False)
    written = written.replace("</", "<\\/").replace("<!--", "<\\u0021--")
    # Placeholders are found before the user's text is put in.
    before, after = (_HERE / "page.html").read_text(encoding="utf-8").split("@DATA@")
    after = after.replace("@SCRIPT@", (_HERE / script).read_text(encoding="utf-8"))
    return Page(before.replace("@TITLE@", html.escape(title)) + written + after)


def _packed(array: np.ndarray, kind: str) -> str:
    """Return an array as text."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode()
