"""
Algonauts: 78 images, numbers of Net2Brain
==========================================

Bersch et al. (2022, `doi:10.48550/arXiv.2208.09677 <https://doi.org/10.48550/arXiv.2208.09677>`_) give, in the tests
of their package Net2Brain, the RDMs of 15 subjects for 78 images of the Algonauts challenge of 2019 in early visual
cortex and in IT, and the noise ceilings that they compute from them. The two files are fetched once (1.5 MB);
without a network this page says so and ends. (The 92 images have :doc:`a page of their own <images92_ceilings>`.)
"""

import rsa_faces as rf
from rsa_faces.datasets._fetched import Archive

published = Archive(
    name="net2brain_algonauts78",
    title="fMRI RDMs of 78 images, Net2Brain, 1.5 MB",
    licence="BSD-3-Clause",
    source="https://raw.githubusercontent.com/cvai-roig-lab/Net2Brain/b59ed47/net2brain/tests/data/brain_data/",
    files={
        "fmri_EVC_RDMs.npz": "sha256:c927ba9793234c4bf4845320ac66fbfbe85ec9afc4df9b12ca2a006dae753672",
        "fmri_IT_RDMs.npz": "sha256:b27cc1c7f87428516fabb4a67e0c1aafe3e6a7de4667e35b5b141e3582e53900",
    },
    page="https://github.com/cvai-roig-lab/Net2Brain",
)
try:
    files = published.fetch()
except rf.InputError as error:
    files = {}
    print(f"Not fetched: {str(error).replace(str(published.folder.parent), 'cache')[:200]}…")

# %%
# Source, their value, ours
# -------------------------
#
# Their ceilings are squared Spearman correlations, averaged over subjects: of each subject with the mean of the
# others (lower), and with the mean of all (upper). Where the files could not be fetched, ours are the numbers of
# the run in which this page was checked.

theirs = {"EVC": (0.006818, 0.063975), "IT": (0.002785, 0.064733)}
checked = {"EVC": (0.006818, 0.063975), "IT": (0.002785, 0.064733)}
images = [f"image_{k:02d}" for k in range(1, 79)]
for region, (low, high) in theirs.items():
    if not files:
        ours = checked[region]
    else:
        rdms = rf.io.read_rdms(files[f"fmri_{region}_RDMs.npz"], conditions=images)
        each = [rdms.sel(index=k) for k in range(len(rdms))]
        others = [rdms.sel(index=[j for j in range(len(rdms)) if j != k]).mean() for k in range(15)]
        to_others = [
            rf.compare(mean, one, method="spearman").item()
            for mean, one in zip(others, each, strict=True)
        ]
        to_all = rf.compare(rdms.mean(), rdms, method="spearman").ravel()
        ours = sum(r**2 for r in to_others) / 15, (to_all**2).mean()
        assert abs(ours[0] - low) < 5e-7
        assert abs(ours[1] - high) < 5e-7
    now = "" if files else " (not now)"
    print(f"{region}: theirs {low} to {high}, ours {ours[0]:.6f} to {ours[1]:.6f}{now}")

# %%
# What a square hides
# -------------------
#
# A squared correlation cannot be below 0, so that these ceilings look as if subjects shared something. Not squared, a
# subject's correlation with the others is about 0, and the upper ceiling is the subject's own share in the mean
# (1/15 of its variance, a correlation of .26). ``rf.noise_ceiling`` and a run say so.

if files:
    for region in theirs:
        rdms = rf.io.read_rdms(files[f"fmri_{region}_RDMs.npz"], conditions=images)
        print(region, rf.noise_ceiling(rdms, method="spearman", by="index"))
        print(f"p that nothing is shared: {rf.inference.shared_structure(rdms, by='index'):.3f}")
