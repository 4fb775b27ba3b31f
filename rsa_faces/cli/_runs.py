"""The commands that run: they print the tables of their reports."""

from __future__ import annotations

from rsa_faces.cli._running import run_command

run_command(
    "compare",
    "CompareRun",
    """\
Compare every layer of every network with brain and behaviour RDMs.

Extracts activations, builds RDMs, correlates them with each region, tests the similarities
(bootstrap, FDR, noise ceilings), draws the figures and writes a report. The folder it leaves
holds `results.csv`, `tests.csv`, `best_layers.csv` (the best layer of each network, judged by
data that did not choose it), `figures/`, `report.html`, `methods.md` and the provenance. A run
that was stopped goes on where it was and ends with the same numbers.
""",
)

run_command(
    "searchlight",
    "SearchlightRun",
    """\
Compare the RDM around every voxel or vertex with models, and test maps over subjects.

Leaves a map for each subject, the mean, t and corrected p of each model, noise ceilings and
the best model (NIfTI, GIFTI, CIFTI), a table of peaks, figures with pages to look around in
(HTML), a report and the provenance. A run that was stopped goes on with the next subject.
""",
)

run_command(
    "timecourse",
    "TimecourseRun",
    """\
Compare every layer with every time of each patient, and test clusters over patients.

Leaves RDMs by patient, region and time, `similarity.csv`, `clusters.csv`, `networks.csv` (pairs
of networks in each region), `electrodes.csv`, figures of layers by time and of electrodes, a
report and the provenance. A run that was stopped goes on with the next patient.
""",
)

run_command(
    "analyse",
    "AnalyseRun",
    """\
Ask what features tell: read-out, transfer, congruence, robustness, groups and more.

Features are taken once from each network and kept; a run that was stopped goes on. Leaves a
table (CSV) and figures (SVG, PDF, PNG) for each question, a report and the provenance. The
questions are in the examples analyses, kdef and photographs; each is a function of
rsa_faces.analyses.
""",
)
