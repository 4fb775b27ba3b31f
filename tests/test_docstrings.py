"""Docstrings of public functions: what still lacks an example or a See Also may only get less."""

import inspect

from public import public_functions

#: How many public functions and classes (no methods) lack each section: to be lowered only.
MOST = {"Examples\n": 31, "See Also\n": 2}


def lacking(section: str) -> list[str]:
    functions = {name: value for name, value in public_functions().items() if "." not in name}
    return [name for name, value in functions.items() if section not in (value.__doc__ or "")]


def test_no_public_name_is_without_a_docstring():
    bare = [name for name, value in public_functions().items() if not inspect.getdoc(value)]
    assert bare == []


def test_sections_do_not_get_fewer():
    found = {section: lacking(section) for section in MOST}
    for section, most in MOST.items():
        assert len(found[section]) <= most, (section, found[section])


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
