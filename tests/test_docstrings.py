"""Docstrings of public functions: each has an example and says what is related."""

import inspect
import re
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


def section(name: str, doc: str) -> str:
    """Return the text of a section of a docstring; "" if it has none."""
    found = re.search(rf"^{name}\n-+\n(.*?)(?=^\w[\w ]*\n---|\Z)", doc, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def test_every_parameter_result_and_own_error_of_a_function_is_described():
    lacking = {}
    for name, value in public_functions().items():
        if not inspect.isfunction(value):
            continue
        doc, signature = inspect.getdoc(value) or "", inspect.signature(value)
        if not section("Parameters", doc) and name.partition(".")[2]:
            continue  # a method whose sentence says it
        described = {
            one.strip(" *")
            for line in section("Parameters", doc).splitlines()
            if line and line[0] != " "
            for one in line.split(" : ")[0].split(",")
        }
        missing = set(signature.parameters) - {"self", "cls"} - described
        returns = section("Returns", doc) or section("Yields", doc)
        given = str(inspect.unwrap(value).__annotations__.get("return", "None"))
        plain = "." in name or given.startswith(("None", "Iterator[None"))
        if not plain and not returns:
            missing.add("Returns")
        if "\n    raise " in inspect.getsource(inspect.unwrap(value)) and not section(
            "Raises", doc
        ):
            missing.add("Raises")
        if missing:
            lacking[name] = missing
    assert lacking == {}


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
