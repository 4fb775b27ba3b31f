"""
Own betas, regions and behaviour
================================

From the files of a study to its figure: 20 subjects saw 60 faces in two runs; there are betas, two
regions, and 20 raters who judged how alike the faces look. **Everything measured is simulated** (the
first part makes it), so that you can run every line; the second part is what you do with your files.

Which layer is planted where is known, so that you can see whether the analysis finds it.

To follow, :doc:`install </start/install>` rsa-faces (with PyTorch, as networks are opened; no extras are needed),
and run the blocks one by one in an empty folder; the script is at the end of this page. From a clone, everything at once::

    ./scripts/environment .venv
    mkdir trial && cd trial
    ../.venv/bin/python ../docs/tutorials/own_betas.py
"""

# %%
# Files as a study has them
# -------------------------
#
# The faces are rendered, nobody's: 15 people with 4 expressions. The patterns of the region called
# "simulated FFA" follow the last layer of a network for identity, those of "simulated STS" the last
# layer of a network for expression.

import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel
import numpy as np
import pandas as pd

import rsa_faces as rf

study = Path("study")
(study / "faces").mkdir(parents=True, exist_ok=True)
(study / "betas").mkdir(exist_ok=True)

everyone = rf.datasets.simulated_faces().stimuli
people = sorted(set(everyone.metadata["identity"]))[:15]
expressions = ["neutral", "happy", "surprised", "angry"]
faces = everyone.query(f"identity in {people} and expression in {expressions} and yaw == 0")
written = rf.stimuli.images.write_images(faces, study / "faces")
table = faces.metadata[["identity", "expression"]]
table.insert(0, "file", [Path(written[name]).name for name in faces])
table.insert(1, "id", list(faces))
table.to_csv(study / "faces.csv", index=False)
print(table.head(3).to_string(index=False))

# %%
# Betas: one 4-D image for each subject, one volume for each face and run, and a table that says which
# is which. Masks of the regions are 1 inside and 0 outside.

layers = []
found = rf.detect_faces(faces, progress=False)
for name, layer in (("sface", "fc"), ("face-api-expression", "fc")):
    network = rf.load_network(name, device="cpu")
    crops = rf.crop_faces(faces, found, **network.spec.crop_options)
    rdm = rf.layer_rdms(network, crops, layers=[layer], measure="sqeuclidean", progress=False)
    layers.append(rdm.with_labels(name=name))
layers = rf.concat(layers)
brain = rf.datasets.simulated_brain(
    layers,
    planted=["sface", "face-api-expression"],
    n_subjects=20,
    shape=(18, 20, 16),
    region_radius=7,
    signal=0.35,
)
for k, image in enumerate(brain.imgs, start=1):
    nibabel.save(image, study / "betas" / f"sub-{k:02d}.nii.gz")
pd.DataFrame({"condition": brain.conditions, "fold": brain.runs}).to_csv(
    study / "volumes.csv", index=False
)
planted = np.asanyarray(brain.truth_img.dataobj)
for k, region in enumerate(["FFA", "STS"], start=1):
    mask = (planted == k).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(mask, brain.mask_img.affine), study / f"{region}.nii.gz")

# %%
# Behaviour: a long table, one row for each rater and pair of faces. The simulated raters see both
# identity and expression, with much noise.

rng = np.random.default_rng(0)
shared = layers.vectors / layers.vectors.std(axis=1, keepdims=True)
first, second = np.triu_indices(len(faces), k=1)
ids = np.array(layers.conditions)
rows = []
for rater in range(1, 21):
    judged = shared.mean(axis=0) + 1.5 * rng.normal(size=shared.shape[1])
    rows.append(
        pd.DataFrame(
            {
                "subject": f"rater{rater:02d}",
                "condition_a": ids[first],
                "condition_b": ids[second],
                "dissimilarity": judged - judged.min(),
            }
        )
    )
pd.concat(rows).to_csv(study / "behaviour.csv", index=False)
for path in sorted(study.glob("*")):
    inside = len(list(path.iterdir())) if path.is_dir() else ""
    print(path, f"({inside} files)" if inside else "")

# %%
# The configuration
# -----------------
#
# This is where your study begins. ``crossnobis`` uses the two runs as folds: equal patterns have a
# distance of 0 on average, whatever the noise. ``groups: identity`` says that the images of a person
# belong together, so that people are drawn anew, not images. ``crop_faces: true`` shows each network faces
# that are cut out as in its training.

configuration = """\
title: Identity and expression in simulated regions
stimuli: {folder: faces, manifest: faces.csv}
data:
  - regions: [FFA, STS]
    fmri:
      subjects: all
      images: betas/{subject}.nii.gz
      conditions: volumes.csv
      roi: "{region}.nii.gz"
      measure: crossnobis
  - {region: behaviour, rdms: behaviour.csv}
networks:
  - {name: sface, layers: ["block*", fc], crop_faces: true}
  - {name: face-api-expression, layers: ["block*.relu4", fc], crop_faces: true}
  - {name: pixels}
measure: correlation
method: rho-a
inference: {generalise_to: both, groups: identity, n_boot: 200}
subsets: {all: all}
budget: 1GB
"""
(study / "study.yaml").write_text(configuration)

# %%
# The run
# -------
#
# On a command line this is ``rsa-faces compare study/study.yaml``. It checks everything first (names,
# masks, runs), and then leaves a folder with figures, tables, a report and a paragraph for the methods
# section. Started again it goes on where it stopped.

command = [sys.executable, "-c", "from rsa_faces.cli import main; main()"]
done = subprocess.run(
    [*command, "compare", str(study / "study.yaml"), "--out", "results/study"],
    capture_output=True,
    text=True,
)
assert done.returncode == 0, done.stderr
print("[…]", *done.stdout.splitlines()[-20:], sep="\n")

# %%
# The figure
# ----------
#
# The regions are in rows, the networks in columns. The planted layers have to come out on top: the last
# layer of ``sface`` in the FFA; in the STS the last of ``face-api-expression``, or the one before it,
# whose RDM is all but the same.

picture = plt.imread("results/study/figures/layers-all.png")
figure = plt.figure(figsize=(7, 7 * picture.shape[0] / picture.shape[1]))
axes = figure.add_axes((0, 0, 1, 1))
axes.imshow(picture)
axes.axis("off")

# %%
# The same as numbers, with what they hold for: other people, and other faces.

results = pd.read_csv("results/study/results.csv")
top = results.sort_values("similarity", ascending=False).groupby("region").head(2)
print(
    top.sort_values("region")[
        ["region", "network", "layer", "similarity", "ci_low", "ci_high", "p_corrected"]
    ].to_string(index=False, float_format="{:.3g}".format)
)

# %%
# In the FFA the planted layer lies within the noise ceiling, in the STS below it, as distances were planted as
# ``sqeuclidean``, and ``correlation`` is compared with them here, as the literature does.

# %%
# A paragraph for the methods section, with the sources of what was used:

print(Path("results/study/methods.md").read_text()[:1200])

# %%
# All of it, with tables and notes, is in ``results/study/report.html``: open it in a browser, with
# :doc:`/start/report` beside it.

# %%
# With your files
# ---------------
#
# - Your images in ``faces/``, a table with ``file`` and a column per label.
# - Your betas: any pattern with ``{subject}`` (and ``{region}``, ``{run}``), 3-D or 4-D; masks that are
#   exactly 0 and 1, or ``{file: ..., threshold: 0.5}`` for probabilities.
# - The names in ``volumes.csv`` are those of the images. Names that differ are an error that lists them.
# - Judgements as in ``behaviour.csv``, or from ``rsa-faces arrange fit``.
#
# Every key: ``rsa-faces compare --help-config``.
