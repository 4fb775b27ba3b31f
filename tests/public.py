"""All public functions, classes and methods of the package, found by inspection."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable

import rsa_faces


def public_functions() -> dict[str, Callable]:
    """Return functions, classes and their public methods by name, each once, under `__all__`."""
    found, seen = {}, set()
    for module in pkgutil.walk_packages(rsa_faces.__path__, "rsa_faces."):
        module = importlib.import_module(module.name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if not callable(value) or id(value) in seen:
                continue
            seen.add(id(value))
            found[name] = value
            if inspect.isclass(value):
                for key in vars(value):
                    if not key.startswith("_") and callable(getattr(value, key)):
                        found[f"{name}.{key}"] = getattr(value, key)
    return found


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function by name; none where they cannot be read."""
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}
