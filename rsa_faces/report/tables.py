"""Results as tidy CSV."""

from __future__ import annotations

from pathlib import Path

from rsa_faces._core.tables import write_table
from rsa_faces.inference import Result

#: File of each table of a result.
FILES = {
    "results.csv": "table",
    "tests.csv": "pairs",
    "subjects.csv": "subjects",
    "ceilings.csv": "ceilings",
}


def write_results(result: Result, folder: Path) -> list[Path]:
    """Write the tables of a result as CSV.

    Parameters
    ----------
    result : Result
    folder : Path

    Returns
    -------
    list of Path
        ``results.csv`` (models), ``tests.csv`` (pairs of models), ``subjects.csv`` and
        ``ceilings.csv``; UTF-8, numbers with all digits (the same result gives the same bytes),
        missing values empty.

    See Also
    --------
    rsa_faces.report.write_report : Write the report as one HTML file that needs nothing else.
    rsa_faces.Result : The outcome of :func:`rsa_faces.evaluate`.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> data = d92.rdms.sel(region="behaviour")
    >>> result = rf.evaluate(d92.models[:2], data, n_boot=100)
    >>> import pathlib, tempfile
    >>> paths = rf.report.write_results(result, pathlib.Path(tempfile.mkdtemp()))
    >>> [path.name for path in paths]
    ['results.csv', 'tests.csv', 'subjects.csv', 'ceilings.csv']
    """
    paths = []
    for name, attribute in FILES.items():
        write_table(getattr(result, attribute), Path(folder) / name)
        paths.append(Path(folder) / name)
    return paths
