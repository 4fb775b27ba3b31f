"""Numbers and counts as a reader wants them: in figures, reports and on the terminal."""

from __future__ import annotations

import numpy as np


def number(value: float, digits: int = 3) -> str:
    """Return a number with some decimals and a true minus sign; "undefined" where it is NaN."""
    if np.isnan(value):
        return "undefined"
    text = f"{value:.{digits}f}"
    # What rounds to 0 has no sign.
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def between(low: float, high: float, digits: int = 3) -> str:
    """Return an interval, from its lower to its upper end."""
    return f"{number(low, digits)} to {number(high, digits)}"


def percent(share: float, digits: int = 1) -> str:
    """Return a share of 1 in per cent, without the sign."""
    return number(100 * share, digits)


def p_value(p: float) -> str:
    """Return a p value as papers print it: three decimals, "–" where nothing was tested."""
    if np.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_sentence(p: float) -> str:
    """Return "p = 0.012" or "p < 0.001"."""
    return f"p {p_value(p)}" if p < 0.001 else f"p = {p_value(p)}"


def counted(n: int, noun: str) -> str:
    """Return a number and its noun, in the plural where there is not one."""
    several = "people" if noun == "person" else f"{noun}s"
    return f"{n:,} {noun if n == 1 else several}"


def interval_label(alpha: float) -> str:
    """Return the name of an interval that covers 1 - alpha."""
    return f"{100 * (1 - alpha):g} % interval"
