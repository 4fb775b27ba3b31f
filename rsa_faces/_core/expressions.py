"""Which rows of a table an expression such as ``face and human`` is true for; nothing is run.

An expression is parsed to names of columns, constants, comparisons, ``in``, ``and``, ``or`` and
``not``, and anything else is refused. pandas' own ``query`` and ``eval`` call methods of whatever
they can reach, so that a configuration from somebody else could run code.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import nearest
from rsa_faces._core.errors import InputError

_LONGEST = 5000
_MARK = "column_in_backquotes_"
_COMPARISONS: dict[type, Callable] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_KNOWN = (
    "names of columns, numbers, texts in quotes, True and False, comparisons, `in` a list, `and`, "
    "`or` and `not`"
)
# Strings stay as they are; `a name with blanks` and the signs &, | and ~ mean what they mean to
# pandas, whose expressions these were.
_TOKEN = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|`([^`]*)`|([&|~])""")
_WORDS = {"&": " and ", "|": " or ", "~": " not "}


def rows_where(expression: str, table: pd.DataFrame, *, rows: str = "rows") -> np.ndarray:
    """Find the rows of a table for which an expression is true.

    Parameters
    ----------
    expression : str
        Names of columns (those with blanks in `` `backquotes` ``), numbers, texts in quotes, True
        and False, comparisons (``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, also in a row as
        ``20 < age < 30``), ``in`` and ``not in`` a list, ``and``, ``or``, ``not`` and
        parentheses. A name alone is a column of True and False (or 1 and 0).
    table : DataFrame
        The columns.
    rows : str, default "rows"
        What rows are called in errors.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        Where a value is missing, only ``!=`` and ``not in`` are true.

    Raises
    ------
    InputError
        If the expression is none, a column is unknown (the nearest is named), text is compared
        with a number, or the result is not true or false for each row.

    Notes
    -----
    A column of text is compared with a number if all of its values (but empty ones and "n/a") are
    numbers: columns of BIDS are read as text.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces._core.expressions import rows_where
    >>> table = pd.DataFrame({"face": [True, True, False], "yaw": [0, 45, 0]})
    >>> rows_where("face and yaw in [0, 30]", table)
    array([ True, False, False])
    """
    tree, names = _parsed(expression)
    return _Rows(expression, table, names, rows).truth(tree)


def _parsed(expression: str) -> tuple[ast.expr, Mapping[str, str]]:
    """Return the tree of an expression and the columns in backquotes; see the module."""
    if not isinstance(expression, str):
        raise TypeError(f"expected an expression as text, got {type(expression).__name__}.")
    if len(expression) > _LONGEST:
        raise InputError(
            f"expected an expression of at most {_LONGEST} characters, got {len(expression)}."
        )
    quoted: dict[str, str] = {}

    def plain(found: re.Match) -> str:
        text, column, sign = found.groups()
        if text is not None:
            return text
        if sign is not None:
            return _WORDS[sign]
        quoted[f"{_MARK}{len(quoted)}"] = column
        return f" {_MARK}{len(quoted) - 1} "

    try:
        tree = ast.parse(_TOKEN.sub(plain, expression).strip(), mode="eval").body
        _check(tree, expression)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as err:
        if isinstance(err, InputError):
            raise
        why = err.msg if isinstance(err, SyntaxError) else str(err) or type(err).__name__
        raise InputError(f"cannot evaluate {expression!r}: {why}.") from err
    return tree, quoted


def _check(node: ast.expr, expression: str) -> None:
    """Raise if a part of an expression is of a kind that is not allowed."""
    match node:
        case ast.Name() | ast.Constant(value=bool() | int() | float() | str()):
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float())):
            return
        case ast.UnaryOp(op=ast.Not()):
            parts = [node.operand]
        case ast.BoolOp():
            parts = node.values
        case ast.Compare() if all(
            type(op) in _COMPARISONS or isinstance(op, (ast.In, ast.NotIn)) for op in node.ops
        ):
            parts = [node.left, *node.comparators]
        case ast.List() | ast.Tuple() | ast.Set():
            parts = node.elts
        case _:
            part = ast.unparse(node)
            raise InputError(
                f"cannot evaluate {expression!r}: {part!r} is not allowed. An expression is made "
                f"of {_KNOWN}."
            )
    for part in parts:
        _check(part, expression)


class _Rows:
    """The rows of a table for which parts of an expression are true."""

    def __init__(self, expression: str, table: pd.DataFrame, names: Mapping[str, str], rows: str):
        self.expression, self.table, self.names, self.rows = expression, table, names, rows

    def truth(self, node: ast.expr) -> np.ndarray:
        """Return whether a part is true for each row."""
        match node:
            case ast.BoolOp():
                both = isinstance(node.op, ast.And)
                parts = [self.truth(part) for part in node.values]
                return (np.logical_and if both else np.logical_or).reduce(parts)
            case ast.UnaryOp(op=ast.Not(), operand=ast.Name() as name):
                # pandas' `not` of a number is another number; say `column == 0`.
                return ~self.true_or_false(self.column(name), numbers=())
            case ast.UnaryOp(op=ast.Not()):
                return ~self.truth(node.operand)
            case ast.Compare():
                return self.comparison(node)
            case ast.Name():
                return self.true_or_false(self.column(node))
        raise self.error(f"{ast.unparse(node)!r} is not true or false for each of {self.count}")

    def comparison(self, node: ast.Compare) -> np.ndarray:
        """Return where all comparisons in a row hold."""
        sides = [node.left, *node.comparators]
        holds = np.ones(len(self.table), dtype=bool)
        for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
            if isinstance(op, (ast.In, ast.NotIn)):
                inside = self.within(left, right)
                holds &= inside if isinstance(op, ast.In) else ~inside
            else:
                holds &= self.compared(left, _COMPARISONS[type(op)], right)
        return holds

    def compared(self, left: ast.expr, compare: Callable, right: ast.expr) -> np.ndarray:
        """Return where one comparison holds."""
        a, b = self.values(left), self.values(right)
        if not isinstance(a, pd.Series) and not isinstance(b, pd.Series):
            raise self.error(f"{ast.unparse(left)} and {ast.unparse(right)} are no columns")
        a, b = self.alike(a, b, left, right)
        try:
            found = compare(a, b)
        except TypeError as err:  # text and gaps have no order
            raise self.error(f"{ast.unparse(left)} and {ast.unparse(right)}: {err}") from err
        return np.asarray(found.fillna(compare is operator.ne), dtype=bool)

    def within(self, left: ast.expr, right: ast.expr) -> np.ndarray:
        """Return where a column has one of the values of a list."""
        if not isinstance(left, ast.Name) or not isinstance(right, (ast.List, ast.Tuple, ast.Set)):
            raise self.error(f"`in` takes a column and a list, as in {'name in [1, 2]'!r}")
        found = [self.compared(left, operator.eq, value) for value in right.elts]
        return np.logical_or.reduce(found) if found else np.zeros(len(self.table), dtype=bool)

    def values(self, node: ast.expr) -> Any:
        """Return a column, or a constant."""
        match node:
            case ast.Name():
                return self.column(node)
            case ast.Constant():
                return node.value
            case ast.UnaryOp(
                operand=ast.Constant(value=int() | float() as value),
                op=ast.USub() | ast.UAdd() as op,
            ):
                return -value if isinstance(op, ast.USub) else value
        hint = " (lists go with `in`)" if isinstance(node, (ast.List, ast.Tuple)) else ""
        raise self.error(f"{ast.unparse(node)!r} cannot be compared{hint}")

    def column(self, node: ast.Name) -> pd.Series:
        """Return the column of a name."""
        name = self.names.get(node.id, node.id)
        if name not in self.table:
            raise self.error(f"{name!r} is no column", nearest(name, self.table.columns))
        column = self.table[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            return column.astype(column.cat.categories.dtype)
        return column

    def alike(self, a: Any, b: Any, left: ast.expr, right: ast.expr) -> tuple[Any, Any]:
        """Return two sides that can be compared: both text, or both numbers."""
        kinds = [_kind(a), _kind(b)]
        if set(kinds) == {"text", "number"}:
            text, node = (a, left) if kinds[0] == "text" else (b, right)
            numbers = _numbers(text) if isinstance(text, pd.Series) else None
            if numbers is None:
                other = right if node is left else left
                raise self.error(
                    f"{ast.unparse(left)} and {ast.unparse(right)} are compared, but "
                    f"{ast.unparse(node)} is text and {ast.unparse(other)} is not"
                )
            return (numbers, b) if text is a else (a, numbers)
        return a, b

    def true_or_false(self, column: pd.Series, numbers: tuple[int, ...] = (0, 1)) -> np.ndarray:
        """Return a column of True and False, or of numbers that stand for them."""
        is_bool = column.map(lambda value: isinstance(value, (bool, np.bool_))).all()
        if not is_bool and not (_kind(column) == "number" and column.isin(numbers).all()):
            raise InputError(
                f"expected {self.expression!r} to be true or false for each of {self.count}, got "
                f"{column.dtype} in {column.name!r}, such as {column.iloc[:1].tolist()}: compare "
                f"it with something. {self.columns}"
            )
        return column.to_numpy(dtype=bool)

    @property
    def count(self) -> str:
        """How many rows there are, and what they are."""
        return f"{len(self.table)} {self.rows}"

    @property
    def columns(self) -> str:
        """Say which columns there are."""
        names = list(map(str, self.table.columns))
        more = f" and {len(names) - 30} more" if len(names) > 30 else ""
        return f"The columns are: {', '.join(names[:30]) or 'none'}{more}."

    def error(self, why: str, hint: str = "") -> InputError:
        """Return what is wrong with the expression."""
        return InputError(f"cannot evaluate {self.expression!r}: {why}.{hint} {self.columns}")


def _kind(side: Any) -> str:
    """Return whether a side is text or a number; True and False are numbers."""
    if isinstance(side, pd.Series):
        if pd.api.types.is_bool_dtype(side) or pd.api.types.is_numeric_dtype(side):
            return "number"
        known = side.dropna()
        are_numbers = len(known) and known.map(lambda v: isinstance(v, (bool, int, float))).all()
        return "number" if are_numbers else "text"
    return "text" if isinstance(side, str) else "number"


def _numbers(column: pd.Series) -> pd.Series | None:
    """Return a column of text as numbers, missing where it says nothing; None if it holds others.

    A column in which nothing is known has no numbers either.
    """
    text = column.astype(str).str.strip()
    unknown = column.isna() | text.isin(["", "n/a"])
    numbers = pd.to_numeric(text.where(~unknown), errors="coerce")
    return None if (numbers.isna() & ~unknown).any() or unknown.all() else numbers
