"""
Clips in runs
=============

Films of faces are often shown in runs, and compared within a run only. From a folder of clips and a table with the
run of each to the figure: which networks see the clips as a region does, with the form of a study such as that of
Jiahui et al. (2023, `doi:10.1073/pnas.2304085120 <https://doi.org/10.1073/pnas.2304085120>`_). **Clips and subjects
are simulated** (the first part writes them); the second part is what you do with yours. Needs
``pip install 'rsa-faces[video]'``.

"Simulated FFA" sees the shape of faces and "simulated STS" facial actions, so that you can see whether the analysis
finds it.
"""

# %%
# Files as a study has them
# -------------------------
#
# Clips of a second, heads that turn; ``clips.csv`` with the run of each; ``subjects.h5``, an RDM of each subject in
# each region. Pairs of clips from different runs were never seen together: they are missing.

import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import rsa_faces as rf

clips = rf.datasets.simulated_clips("clips", n_runs=3, n_per_run=10, n_subjects=6)
print(pd.read_csv("clips/clips.csv").head(4).to_string(index=False))
subjects = rf.load_rdms("clips/subjects.h5")
print(subjects)
run_of = dict(zip(clips, clips.metadata["run"], strict=True))
rf.figures.plot_rdms(
    subjects.sel(region="simulated STS").mean(),
    titles=["simulated STS, mean of 6 subjects"],
    groups=[run_of[name] for name in subjects.conditions],
)

# %%
# The configuration
# -----------------
#
# This is where your study begins. ``rate: 2`` shows two frames of a second to the networks; the pattern of a clip is
# the mean over its frames. ``blocks: run`` compares within a run and averages over runs.
# ``groups: identity`` says which clips show the same person.

Path("clips.yaml").write_text("""\
title: Identity and expression networks and simulated clips
stimuli: {clips: clips, manifest: clips/clips.csv, rate: 2}
data:
  - {region: FFA, rdms: clips/subjects.h5, select: {region: simulated FFA}}
  - {region: STS, rdms: clips/subjects.h5, select: {region: simulated STS}}
networks:
  - {name: sface, layers: [block1, block5, block9, block13, fc]}
  - {name: face-api-expression, layers: ["block*.relu4", fc]}
measure: correlation
method: spearman
inference: {blocks: run, groups: identity, generalise_to: subjects, n_boot: 200}
subsets: {all: all}
figures: {group: run}
seed: 0
""")

# %%
# The run
# -------
#
# On a command line: ``rsa-faces compare clips.yaml``. (200 bootstrap samples keep this page quick.)

command = [sys.executable, "-c", "from rsa_faces.cli import main; main()"]
done = subprocess.run(
    [*command, "compare", "clips.yaml", "--out", "results/clips"],
    capture_output=True,
    text=True,
)
assert done.returncode == 0, done.stderr
print("[…]", *done.stdout.splitlines()[-20:], sep="\n")

# %%
# The figure
# ----------

picture = plt.imread("results/clips/figures/layers-all.png")
figure = plt.figure(figsize=(7, 7 * picture.shape[0] / picture.shape[1]))
axes = figure.add_axes((0, 0, 1, 1))
axes.imshow(picture)
axes.axis("off")

# %%
# The same as numbers: the two best layers in each region.

results = pd.read_csv("results/clips/results.csv")
top = results.sort_values("similarity", ascending=False).groupby("region").head(2)
print(
    top.sort_values("region")[
        ["region", "network", "layer", "similarity", "ci_low", "ci_high", "ceiling_low"]
    ]
    .round(3)
    .to_string(index=False)
)

# %%
# The networks differ where they should: late layers of the network for expression tell nothing of the simulated FFA,
# which those of the network for identity do. In the simulated STS the last layer of the network for expression is
# as near the ceiling as any.
#
# With your files
# ---------------
#
# - Your clips in a folder, a table with ``file``, ``id`` and a column for the run. Any other column can colour figures.
# - Subjects' RDMs in any format that ``rf.io.read_rdms`` reads; pairs of different runs NaN, or with values that
#   ``blocks`` leaves out.
# - Patterns from BOLD of films: ``rf.brain.clip_patterns``.
# - What identity and expression networks explain alone and together: ``partition`` (``rsa-faces example clips``).
#
# Every key: ``rsa-faces compare --help-config``.
