"""The command line: each command reads its options, calls the library and shows the answer."""

from rsa_faces.cli._app import main

__all__ = ["main"]
