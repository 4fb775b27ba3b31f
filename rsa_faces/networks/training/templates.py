"""Templates: several images of a person taken together, as protocols or folders list them."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.tables import read_names, read_table
from rsa_faces.stimuli.images import SUFFIXES

#: What the protocols of IJB call the columns.
_CALLED = {
    "template_id": "template",
    "subject_id": "subject",
    "media_id": "media",
    "filename": "file",
}
_NEEDED = ("template", "subject", "file")


def read_templates(path: str | os.PathLike[str]) -> pd.DataFrame:
    r"""Read which images make up a template: a protocol's table, or folders of video frames.

    Parameters
    ----------
    path : path-like
        A table with the columns ``template``, ``subject``, ``file`` and, if images come from
        several media (the frames of one video are one medium), ``media``; or called
        ``TEMPLATE_ID``, ``SUBJECT_ID``, ``FILENAME`` and ``MEDIA_ID`` as in IJB-B and IJB-C
        [1]_ [2]_. Or a folder as YouTube Faces [3]_ has it: ``PERSON/NUMBER/frame.jpg``, each
        video a template and a medium.

    Returns
    -------
    DataFrame
        One row per image of a template, in the order of the file (of a folder, sorted):
        ``template``, ``subject``, ``media``, ``file``, all text; further columns of a table as
        they are. Of a folder ``file`` is the path below it and there is ``id``, the same: written
        with :func:`rsa_faces.report.write_table` it is a manifest for
        :func:`rsa_faces.load_stimuli`.

    Raises
    ------
    InputError
        If columns are missing, or a folder holds no images two folders down.
    MissingFileError
        If there is no such file.

    See Also
    --------
    read_template_pairs : Read which templates are compared.
    rsa_faces.analyses.template_verification : Verify people by templates of several images.

    References
    ----------
    .. [1] Whitelam C. et al. (2017). CVPR Workshops. doi:10.1109/CVPRW.2017.87
    .. [2] Maze B. et al. (2018). International Conference on Biometrics.
       doi:10.1109/ICB2018.2018.00033
    .. [3] Wolf L., Hassner T., Maoz I. (2011). CVPR. doi:10.1109/CVPR.2011.5995566

    Examples
    --------
    >>> from rsa_faces.networks.training import read_templates
    >>> path = getfixture("tmp_path") / "protocol.csv"
    >>> _ = path.write_text("TEMPLATE_ID,SUBJECT_ID,FILENAME\n1,7,a.jpg\n1,7,b.jpg\n")
    >>> read_templates(path)
      template subject   file
    0        1       7  a.jpg
    1        1       7  b.jpg
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(
            file.relative_to(path)
            for file in path.glob("[!.]*/[!.]*/[!.]*")
            if file.suffix.lower() in SUFFIXES
        )
        if not files:
            raise InputError(f"expected images as PERSON/NUMBER/frame.jpg below {path}, got none.")
        rows = [(f.parent.as_posix(), f.parts[0], f.parent.as_posix(), f.as_posix()) for f in files]
        found = pd.DataFrame(rows, columns=["template", "subject", "media", "file"])
        return found.assign(id=found["file"])
    table = read_table(path, what="a protocol of templates")
    table = table.rename(columns={c: _CALLED.get(c.lower(), c.lower()) for c in table})
    if missing := [c for c in _NEEDED if c not in table]:
        raise InputError(
            f"expected the columns template, subject and file (or TEMPLATE_ID, SUBJECT_ID and "
            f"FILENAME) in {path}, but {missing[0]} is missing: got {', '.join(table)}."
        )
    return table


def read_template_pairs(path: str | os.PathLike[str]) -> pd.DataFrame:
    r"""Read which templates are compared.

    Parameters
    ----------
    path : path-like
        Lines of two template ids, and 1 (the same person) or 0 if you like, separated by commas
        or blanks, as IJB-B and IJB-C have them; or ``splits.txt`` of YouTube Faces: number of the
        fold, two videos (``PERSON/NUMBER``), and 1 or 0, separated by commas, below a header or
        not. Empty lines are skipped.

    Returns
    -------
    DataFrame
        ``first``, ``second`` (text); ``same`` (bool) and ``fold`` (int) where the file has them.

    Raises
    ------
    InputError
        If a row is not as said; it is named.

    See Also
    --------
    read_templates : Read which images make up a template.

    Examples
    --------
    >>> from rsa_faces.networks.training import read_template_pairs
    >>> path = getfixture("tmp_path") / "splits.txt"
    >>> _ = path.write_text("split, first name, second name, is same\n1, Ann/0, Bo/2, 0\n")
    >>> read_template_pairs(path)
      first second   same  fold
    0 Ann/0   Bo/2  False     1
    """
    lines = read_names(path, what="a file of template pairs")
    rows = [
        [cell.strip() for cell in line.split(",")] if "," in line else line.split()
        for line in lines
    ]
    columns = {2: ["first", "second"], 3: ["first", "second", "same"]}
    columns[4] = ["fold", "first", "second", "same"]
    # Rows of four begin with the number of a fold; a row that does not is a header.
    start = int(bool(rows) and len(rows[0]) == 4 and not rows[0][0].isdigit())
    width = len(rows[start]) if len(rows) > start else 0
    for i, row in enumerate(rows[start:], start + 1):
        wrong = len(row) != width or width not in columns or "" in row
        wrong = wrong or (width > 2 and row[-1] not in ("0", "1"))
        if wrong or (width == 4 and not row[0].isdigit()):
            raise InputError(
                "expected two template ids (and 1 or 0), or a fold, two videos and 1 or 0, as in "
                f"the line before, got {lines[i - 1][:80]!r} in row {i} of {path}."
            )
    if not width:
        raise InputError(f"expected pairs of templates in {path}, got none.")
    table = pd.DataFrame(rows[start:], columns=columns[width])
    if "same" in table:
        table["same"] = table["same"] == "1"
    if "fold" in table:
        table = table.astype({"fold": int})[["first", "second", "same", "fold"]]
    return table
