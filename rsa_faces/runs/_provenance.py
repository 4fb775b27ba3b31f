"""Where results come from: versions, machine, version control."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "rsa-faces",
    "numpy",
    "scipy",
    "pandas",
    "h5py",
    "torch",
    "torchvision",
    "timm",
    "matplotlib",
    "pillow",
    "nilearn",
    "nibabel",
    "rsatoolbox",
    "scikit-learn",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that make the numbers."""
    installed = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def machine() -> dict[str, str]:
    """Return what kind of machine this is; nothing that names it or its user."""
    return {"system": platform.system(), "machine": platform.machine(), "byteorder": sys.byteorder}


def git_state(folder: Path) -> dict[str, str | bool] | None:
    """Return commit and cleanness of the repository that holds `folder`, or None outside one."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "clean": git("status", "--porcelain") == ""}
    except (OSError, subprocess.SubprocessError):
        return None
