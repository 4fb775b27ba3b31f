"""The texts of the page, from a language file."""

from __future__ import annotations

import re
from pathlib import Path

from rsa_faces._core.checks import check_choice, nearest
from rsa_faces._core.configurations import parse_yaml, read_utf8
from rsa_faces._core.errors import InputError

FOLDER = Path(__file__).with_name("languages")

# Texts of older versions: a language file that has them is still good.
_GONE = {"start_again"}


def languages() -> list[str]:
    """Return the codes of the languages that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_texts(language: str) -> dict[str, str]:
    """Read a language that ships, or a file; every text of English must be there."""
    if language.endswith((".yaml", ".yml")):
        path = Path(language)
        if not path.is_file():
            raise InputError(f"expected a language file, but {path} does not exist.")
    else:
        path = FOLDER / f"{check_choice(language, languages(), what='language')}.yaml"
    texts = _read(path)
    english = _read(FOLDER / "en.yaml")
    texts = {key: text for key, text in texts.items() if key not in _GONE}
    for key in texts:
        if key not in english:
            raise InputError(f"{path}: unknown text {key!r}.{nearest(key, english)}")
    missing = [key for key in english if key not in texts]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} texts are missing: {', '.join(missing[:5])}. "
            "languages/en.yaml has all of them."
        )
    for key, text in texts.items():
        strange = _places(text) - _places(english[key])
        if strange:
            raise InputError(f"{path}: {key} has {{{min(strange)}}}, which nothing fills in.")
    return texts


def _read(path: Path) -> dict[str, str]:
    """Read a file of keys and texts."""
    raw = parse_yaml(read_utf8(path), str(path))
    for key, text in raw.items():
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{path}: expected a text for {key!r}, got {text!r}.")
    return {str(key): text.strip() for key, text in raw.items()}


def _places(text: str) -> set[str]:
    """Return the words in braces."""
    return set(re.findall(r"\{(\w+)\}", text))
