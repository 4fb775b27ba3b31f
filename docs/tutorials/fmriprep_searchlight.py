"""
fMRIPrep derivatives to a searchlight
=====================================

From preprocessed BOLD in BIDS to maps of a group: where in the brain do layers of a network hold? Six
subjects saw 12 faces in two runs. **The recordings are simulated** (the first part writes them, in the
folders and under the names that fMRIPrep uses); the second part is what you do with yours.

Two layers are planted in known places, so that you can see whether they are found there.
"""

# %%
# Files as fMRIPrep leaves them
# -----------------------------
#
# The faces are rendered, nobody's: 4 people with 3 expressions.

import json
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel
import numpy as np
import pandas as pd
from nilearn.glm.first_level import make_first_level_design_matrix

import rsa_faces as rf

study = Path("bids")
everyone = rf.datasets.simulated_faces().stimuli
people = sorted(set(everyone.metadata["identity"]))[:4]
faces = everyone.query(
    f"identity in {people} and expression in ['neutral', 'happy', 'angry'] and yaw == 0"
)
_ = rf.stimuli.images.write_images(faces, study / "stimuli")  # and images.csv: which file is which

# %%
# The patterns of one place follow the last layer of a network for identity, those of another the last layer
# of a network for expression.

found = rf.detect_faces(faces, progress=False)
layers = []
for name in ("sface", "face-api-expression"):
    network = rf.load_network(name, device="cpu")
    crops = rf.crop_faces(faces, found, **network.spec.crop_options)
    rdm = rf.layer_rdms(network, crops, layers=["fc"], measure="sqeuclidean", progress=False)
    layers.append(rdm.with_labels(name=name))
brain = rf.datasets.simulated_brain(
    rf.concat(layers),
    planted=["sface", "face-api-expression"],
    n_subjects=6,
    shape=(14, 16, 12),
    region_radius=7,
    signal=1.5,
)

# %%
# Two runs of BOLD for each subject, with the events beside the raw data, and beside the preprocessed images
# their brain masks and confounds. Each face is shown twice in a run.

T_R, N_SCANS, N_TIMES = 2.0, 76, 2
rng = np.random.default_rng(0)
derivatives = study / "derivatives" / "fmriprep"
mask = np.asanyarray(brain.mask_img.dataobj) > 0
affine = brain.mask_img.affine
derivatives.mkdir(parents=True, exist_ok=True)
for folder in (study, derivatives):
    (folder / "dataset_description.json").write_text(
        json.dumps({"Name": "simulated", "BIDSVersion": "1.8.0"})
    )
for k, betas in enumerate(brain.imgs, start=1):
    raw = study / f"sub-{k:02d}" / "func"
    made = derivatives / f"sub-{k:02d}" / "func"
    raw.mkdir(parents=True, exist_ok=True)
    made.mkdir(parents=True, exist_ok=True)
    values = np.asanyarray(betas.dataobj)[mask].T
    for number, run in enumerate(sorted(set(brain.runs)), start=1):
        shown = np.flatnonzero(np.array(brain.runs) == run)
        order = np.concatenate([rng.permutation(shown) for _ in range(N_TIMES)])
        events = pd.DataFrame(
            {
                "onset": 6.0 * np.arange(len(order)) + 2,
                "duration": 1.0,
                "trial_type": [brain.conditions[i] for i in order],
            }
        )
        design = make_first_level_design_matrix(
            T_R * np.arange(N_SCANS), events, drift_model=None, hrf_model="spm"
        )
        responses = design[[brain.conditions[i] for i in shown]].to_numpy() @ values[shown]
        bold = np.zeros((*mask.shape, N_SCANS), dtype=np.float32)
        bold[mask] = 1000 + 10 * (responses + rng.normal(size=responses.shape)).T
        image = nibabel.Nifti1Image(bold, affine)
        image.header.set_zooms((*image.header.get_zooms()[:3], T_R))
        stem = f"sub-{k:02d}_task-faces_run-{number:02d}"
        space = f"{stem}_space-MNI152NLin2009cAsym"
        events.to_csv(raw / f"{stem}_events.tsv", sep="\t", index=False)
        nibabel.save(image, made / f"{space}_desc-preproc_bold.nii.gz")
        (made / f"{space}_desc-preproc_bold.json").write_text(json.dumps({"RepetitionTime": T_R}))
        nibabel.save(
            nibabel.Nifti1Image(mask.astype(np.uint8), affine),
            made / f"{space}_desc-brain_mask.nii.gz",
        )
        motion = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
        pd.DataFrame(0.05 * rng.normal(size=(N_SCANS, 6)), columns=motion).to_csv(
            made / f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False
        )
for path in sorted(study.rglob("sub-01*")):
    if path.is_file():
        print(path)

# %%
# The configuration
# -----------------
#
# This is where your study begins. ``bids`` goes through the GLM of nilearn: a pattern for each face and run,
# without movement. ``crossnobis`` takes the runs as folds; RDMs of layers are made by ``correlation``. Names in ``trial_type`` are those
# in the column ``id`` of the stimuli.

Path("searchlight.yaml").write_text("""\
title: Identity and expression in simulated brains
data:
  bids:
    root: bids
    derivatives: derivatives/fmriprep
    task: faces
    subjects: ["01", "02", "03", "04", "05", "06"]
    confounds: {strategy: [motion], motion: basic}
    noise_model: ols
stimuli: {folder: bids/stimuli, manifest: bids/stimuli/images.csv}
networks:
  - {name: sface, layers: [fc]}
  - {name: face-api-expression, layers: [fc]}
radius: 9
measure: crossnobis
method: spearman
test: {statistic: tfce, n_permutations: 99}
seed: 0
""")

# %%
# The run
# -------
#
# On a command line this is ``rsa-faces searchlight searchlight.yaml``. (``noise_model: ols``
# keeps this page quick; nilearn's ar1 is the default.)

command = [sys.executable, "-c", "from rsa_faces.cli import main; main()"]
done = subprocess.run(
    [*command, "searchlight", "searchlight.yaml", "--out", "results/searchlight"],
    capture_output=True,
    text=True,
)
assert done.returncode == 0, done.stderr
print("[…]", *done.stdout.splitlines()[-20:], sep="\n")

# %%
# The figure
# ----------
#
# Maps of the group, where they differ from 0 after correction over the brain. With six subjects there are
# 64 ways to flip signs, so that no p is below 1/64.

results = Path("results/searchlight")
names = ["sface-fc", "face-api-expression-fc", "best_model"]
figure, axes = plt.subplots(len(names), 1, figsize=(9, 6.5), layout="tight")
for ax, name in zip(axes, names, strict=True):
    ax.imshow(plt.imread(results / "figures" / f"{name}.png"))
    ax.axis("off")

# %%
# The peaks, and beside them where the layers were planted. The two networks see some of the same, so that
# the layer of one has a lower peak in the place of the other; the last map tells them apart, by the layer
# that is best in the other subjects.

peaks = pd.read_csv(results / "peaks.csv")
print(
    peaks[["model", "similarity", "p", "ceiling_low", "x", "y", "z"]]
    .round(3)
    .to_string(index=False)
)
print(brain.regions[["model", "x", "y", "z"]].round(1).to_string(index=False))

# %%
# With your files
# ---------------
#
# - ``root`` and ``derivatives`` of your data set, ``task`` and ``subjects``; ``space``, ``res`` and ``echo`` where
#   there are several.
# - The column of the events that names the image: ``condition_column: stim_file``, say.
# - ``confounds`` are options of nilearn's ``load_confounds``; with ``scrub`` scans are left out.
# - Betas that you have already: ``images`` and ``conditions`` instead of ``bids`` (``rsa-faces example searchlight``).
# - A region instead of everywhere: :doc:`own_betas`, whose ``fmri`` takes ``bids``, too.
#
# Every key: ``rsa-faces searchlight --help-config``.
