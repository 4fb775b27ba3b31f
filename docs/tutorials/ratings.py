"""
A rating task to RDMs
=====================

Raters saw pairs of faces and said how alike they look, from 1 to 7. From the file of the experiment to one
RDM of each rater, how far raters agree, and the figure: which layers see the faces as they do. **The raters are
simulated** (the first part writes their file); the second part is what you do with yours.
"""

# %%
# The file of the experiment
# --------------------------
#
# A row for each judgement: who, which two faces, the answer. The faces are rendered, nobody's: 12 people
# with 2 expressions. Each simulated rater judges all 276 pairs by face shape and facial actions, with noise of
# their own; the last one pressed keys at random. Some rows are checks of attention: the right answer is in the
# column ``expected``.

import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import rsa_faces as rf

study = Path("ratings")
simulated = rf.datasets.simulated_faces()
people = sorted(set(simulated.stimuli.metadata["identity"]))[:12]
expressions = ["neutral", "happy"]
faces = simulated.stimuli.query(
    f"identity in {people} and expression in {expressions} and yaw == 0"
)
_ = rf.stimuli.images.write_images(faces, study / "faces")  # and images.csv: which file is which

seen = simulated.models.sel(name=["face shape", "facial actions"]).subset(list(faces))
seen = (seen.vectors / seen.vectors.std(axis=1, keepdims=True)).sum(axis=0)
seen = (seen - seen.mean()) / seen.std()
first, second = np.triu_indices(len(faces), k=1)
ids = np.array(list(faces))
rng = np.random.default_rng(0)
rows = []
for k in range(1, 13):
    judged = rng.normal(size=len(seen)) if k == 12 else seen + rng.normal(size=len(seen))
    alike = np.clip(np.round(4 - 1.5 * judged), 1, 7)
    table = pd.DataFrame({"rater": f"rater{k:02d}", "a": ids[first], "b": ids[second]})
    table = table.assign(rating=alike, expected=np.nan)
    checks = table.sample(6, random_state=k).assign(expected=7.0)
    checks["rating"] = rng.integers(1, 8, size=6) if k == 12 else 7.0
    rows.append(pd.concat([table, checks]).sample(frac=1, random_state=k))
pd.concat(rows).to_csv(study / "ratings.csv", index=False)
print(pd.concat(rows).head(4).to_string(index=False))

# %%
# One RDM for each rater
# ----------------------
#
# This is where your study begins. What a high rating means has no default: it must be said. Raters who fail more
# than a third of their checks are left out, and the report says who.

command = [sys.executable, "-c", "from rsa_faces.cli import main; main()"]
done = subprocess.run(
    [
        *command,
        *("arrange", "import", "pairs", "ratings/ratings.csv"),
        *("--direction", "similarity", "--max-failed", "0.33", "--out", "ratings/raters.h5"),
    ],
    capture_output=True,
    text=True,
)
assert done.returncode == 0, done.stderr
print(done.stdout, done.stderr)

# %%
# How far do they agree?
# ----------------------
#
# The correlation of each rater with the mean of the others, and the noise ceiling: how similar a model can get to
# these raters at most.

raters = rf.load_rdms("ratings/raters.h5")
agreement = rf.behaviour.rater_agreement(raters)
print(agreement)
ceiling = rf.noise_ceiling(raters, method="spearman", by="rater")
print(ceiling)
rf.figures.plot_rdms(
    raters.mean(),
    titles=["mean of 11 raters"],
    groups=[name.split("_")[0] for name in raters.conditions],
)

# %%
# The configuration
# -----------------
#
# ``groups: identity`` says that images of a person belong together: people are drawn anew, not images. Twelve people
# are few to generalise to others, and the report says so.

Path("ratings.yaml").write_text("""\
title: Which layers see faces as simulated raters do?
stimuli: {folder: ratings/faces, manifest: ratings/faces/images.csv}
data:
  - {region: behaviour, rdms: ratings/raters.h5}
networks:
  - {name: sface, layers: [block1, block5, block9, block13, fc]}
  - {name: face-api-expression, layers: ["block*.relu4", fc]}
  - {name: pixels}
measure: correlation
method: spearman
inference: {generalise_to: both, groups: identity, n_boot: 200}
subsets: {all: all}
seed: 0
""")

# %%
# On a command line: ``rsa-faces compare ratings.yaml``. (200 bootstrap samples keep this page quick.)

done = subprocess.run(
    [*command, "compare", "ratings.yaml", "--out", "results/ratings"],
    capture_output=True,
    text=True,
)
assert done.returncode == 0, done.stderr
print("[…]", *done.stdout.splitlines()[-20:], sep="\n")

# %%
# The figure
# ----------

picture = plt.imread("results/ratings/figures/layers-all.png")
figure = plt.figure(figsize=(7, 7 * picture.shape[0] / picture.shape[1]))
axes = figure.add_axes((0, 0, 1, 1))
axes.imshow(picture)
axes.axis("off")

# %%
# With your files
# ---------------
#
# - Ratings of pairs: the columns ``rater``, ``a``, ``b``, ``rating``. Ratings of single faces on traits (``traits``),
#   odd-one-out choices (``triplets``) and Meadows' files (``meadows``) go in by the same command.
# - Arrangements on a screen: ``rsa-faces arrange`` shows them and makes the RDMs (:doc:`/howto/arrangement_server`).
# - Pairs that a rater did not judge are missing there, and stay missing: nothing is filled in.
#
# The numbers of the figure: ``results/ratings/results.csv``.
