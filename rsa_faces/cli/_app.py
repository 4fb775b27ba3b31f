"""The `rsa-faces` command: all its commands, put together."""

from __future__ import annotations

from rsa_faces.cli import (  # noqa: F401 (each registers its commands)
    _arrange,
    _doctor,
    _example,
    _extract,
    _init,
    _networks,
    _runs,
    _selftest,
    _store,
)
from rsa_faces.cli._console import app


def main() -> None:
    """Run the command line.

    See Also
    --------
    rsa_faces.compare : What ``rsa-faces compare`` does, in Python: compare RDMs.
    rsa_faces.evaluate : The same with noise ceilings and tests.

    Examples
    --------
    >>> from rsa_faces.cli import main
    >>> main()  # doctest: +SKIP
    """
    app()
