"""
Intracranial recordings
=======================

From epochs of patients and a table of electrodes to the figure: which layers of a network hold when, in which
region? **The recordings are simulated** (the first part writes them); the second part is what you do with
yours. Needs ``pip install 'rsa-faces[ieeg]'``.

An early layer is planted first and a late one later, so that you can see whether the analysis finds it.
"""

# %%
# Files as a study has them
# -------------------------
#
# The faces are rendered, nobody's: 6 people with 4 expressions.

import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import rsa_faces as rf

study = Path("patients")
everyone = rf.datasets.simulated_faces().stimuli
people = sorted(set(everyone.metadata["identity"]))[:6]
expressions = ["neutral", "happy", "surprised", "angry"]
faces = everyone.query(f"identity in {people} and expression in {expressions} and yaw == 0")
_ = rf.stimuli.images.write_images(faces, study / "faces")  # and images.csv: which file is which

# %%
# Six patients with eight electrodes in each of two regions, four trials of each face. The ventral electrodes
# follow the first layer of a network for expression early and its last one late, the lateral ones the last.

network = rf.load_network("face-api-expression", device="cpu")
crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), **network.spec.crop_options)
layers = rf.layer_rdms(
    network, crops, layers=["block1.relu2", "fc"], measure="sqeuclidean", progress=False
)
recorded = rf.datasets.simulated_recordings(
    layers.with_labels(name=["early", "late"]),
    [
        ("ventral", "early", 0.10, 0.30),
        ("ventral", "late", 0.40, 0.60),
        ("lateral", "late", 0.30, 0.60),
    ],
    n_patients=6,
    n_electrodes=8,
    rate=50,
)
for patient, epochs in recorded.epochs.items():
    epochs.save(study / f"{patient}-epo.fif", overwrite=True, verbose="error")
recorded.electrodes.to_csv(study / "electrodes.csv", index=False)
print(recorded.electrodes.round(1).head(4).to_string(index=False))

# %%
# The configuration
# -----------------
#
# This is where your study begins: a file of epochs for each patient, as MNE saves them, whose events have the
# names of the stimuli (``id``), and one table that says where each electrode is.

files = "\n".join(f"    {name}: patients/{name}-epo.fif" for name in recorded.epochs)
Path("timecourse.yaml").write_text(f"""\
title: When do which layers hold in simulated regions?
stimuli: {{folder: patients/faces, manifest: patients/faces/images.csv}}
data:
  patients:
{files}
  electrodes: patients/electrodes.csv
networks:
  - {{name: face-api-expression, layers: ["block*.relu2", "block*.relu4", fc], crop_faces: true}}
signal: raw
window: 0.06
step: 0.04
measure: sqeuclidean
method: spearman
test: {{along: time and layers, n_permutations: 199}}
seed: 0
""")

# %%
# The run
# -------
#
# On a command line this is ``rsa-faces timecourse timecourse.yaml``. Recordings of broadband power take
# ``signal: high gamma`` and ``line_noise: 50`` (or 60).

command = [sys.executable, "-c", "from rsa_faces.cli import main; main()"]
done = subprocess.run(
    [*command, "timecourse", "timecourse.yaml", "--out", "results/timecourse"],
    capture_output=True,
    text=True,
)
assert done.returncode == 0, done.stderr
print("[…]", *done.stdout.splitlines()[-20:], sep="\n")

# %%
# The figure
# ----------
#
# Layers from bottom to top, time from left to right, a region in each part. Outlines hold what differs from 0
# after correction over layers and times. Ventrally the first layer comes out best at first and the last
# ones later, laterally the last ones, as planted.

results = Path("results/timecourse")


def show(name, size):
    """Show a figure that the run left."""
    figure = plt.figure(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(plt.imread(results / "figures" / f"{name}.png"))
    axes.axis("off")


show("layers_by_time", (8, 8))

# %%
# Where the electrodes are:

show("electrodes", (8, 2.6))

# %%
# The same as numbers: the clusters, and the best layer of each region at its best time.

clusters = pd.read_csv(results / "clusters.csv")
print(clusters.round(3).to_string(index=False))

# %%
# With your files
# ---------------
#
# - Epochs as ``-epo.fif``. Events with other names: ``conditions:`` names the column of their metadata that holds
#   the stimulus of each.
# - BIDS instead: ``bids: {root: ..., task: ..., patients: [...]}``, and the columns that name image and region.
# - Only electrodes that prefer faces, chosen on other trials than those that are analysed: ``face_selective``.
# - Patients are the random factor, whatever electrodes each has: a result holds for other patients.
#
# Every key: ``rsa-faces timecourse --help-config``.
