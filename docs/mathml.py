"""Formulas as MathML, which browsers draw themselves: no script, and nothing from the network."""

from __future__ import annotations

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger
from sphinx.writers.html5 import HTML5Translator


def setup(app: Sphinx) -> dict[str, bool]:
    """Let `html_math_renderer = "mathml"` draw formulas so."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _display(writer: HTML5Translator, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{_mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def _mathml(node: nodes.Element, *, as_block: bool) -> str:
    """Return a formula as an element; what cannot be read is a warning, which ends the build."""
    problem, drawn = "", ""
    try:
        drawn = tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        problem = str(error)
    if 'accent="true"' in drawn:
        # Where there is no font for mathematics, browsers leave accents out: a mean becomes a value.
        problem = "accents are not drawn everywhere; give what is accented a name of its own"
    if problem:
        getLogger(__name__).warning("no formula: %s", problem, location=node)
    return drawn
