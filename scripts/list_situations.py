"""Write docs/situations.md: every situation of bad or odd input that the tests try.

python scripts/list_situations.py
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    doors = ROOT / "tests" / "doors"
    sys.path[:0] = [str(doors), str(doors.parent)]
    lines = [
        "# Situations of bad or odd input",
        "",
        "Each is a test in `tests/doors/`. *Read*: read rightly, with a note where something was",
        "decided. *Refused*: one sentence says what was expected, what came and what to do; on the",
        "command line with exit code 2.",
        "",
    ]
    count = 0
    for file in sorted(doors.glob("test_doors_*.py")):
        module = importlib.import_module(file.stem)
        lines += [f"## {(module.__doc__ or file.stem).splitlines()[0].rstrip('.')}", ""]
        lines += ["| given | what happens |", "| --- | --- |"]
        for situation in module.SITUATIONS:
            outcome = "read" if situation.sentence is None else "refused"
            lines.append(f"| {situation.given} | {outcome} |")
            count += 1
        lines.append("")
    lines.insert(2, f"{count} situations.\n")
    (ROOT / "docs" / "situations.md").write_text("\n".join(lines), encoding="utf-8")
    print(f"docs/situations.md: {count} situations")


if __name__ == "__main__":
    main()
