"""What every test leaves as it was."""

import logging

import pytest


@pytest.fixture(autouse=True)
def log_level():
    """Undo the level that the command line sets."""
    yield
    logging.getLogger("rsa_faces").setLevel(logging.NOTSET)
