"""Docstrings of public functions: each has an example and says what is related."""

import inspect
from typing import get_origin

from public import public_functions

#: Public functions and classes (no methods) that lack a section: to get fewer only.
LACK: dict[str, set] = {"Examples\n": set(), "See Also\n": set()}


def lacking(section: str) -> set[str]:
    functions = {
        name: value
        for name, value in public_functions().items()
        if "." not in name and get_origin(value) is None  # no annotations
    }
    return {name for name, value in functions.items() if section not in (value.__doc__ or "")}


def test_no_public_name_is_without_a_docstring():
    bare = [name for name, value in public_functions().items() if not inspect.getdoc(value)]
    assert bare == []


def test_every_public_name_has_an_example_and_relatives():
    for section, known in LACK.items():
        assert lacking(section) <= known, section


def test_what_see_also_names_is_there():
    last = {name.rpartition(".")[2] for name in public_functions()}
    unknown = {}
    for name, value in public_functions().items():
        _, _, rest = (inspect.getdoc(value) or "").partition("See Also\n--------\n")
        block = rest.split("\n\n")[0]
        for line in block.splitlines():
            target = line.split(" : ")[0].strip()
            if line and not line.startswith(" ") and target.rpartition(".")[2] not in last:
                unknown[name] = target
    assert unknown == {}
