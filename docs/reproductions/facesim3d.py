"""
FaceSim3D: two views of 100 faces
=================================

Hofmann et al. (2026, `doi:10.1098/rsos.251515 <https://doi.org/10.1098/rsos.251515>`_) had 2,605 people judge
100 faces in triplets, as still pictures and as turning heads, and report a correlation of .93 between the
two. The tables are fetched once (0.5 MB); without a network this page says so and ends.
"""

import rsa_faces as rf
from rsa_faces.datasets.facesim3d import ARCHIVE

try:
    similar = rf.datasets.facesim3d()
except rf.InputError as error:
    similar = None
    print(f"Not fetched: {str(error).replace(str(ARCHIVE.folder.parent), 'cache')[:200]}…")

# %%
# Source, their value, ours
# -------------------------
#
# Where the tables could not be fetched, ours is the number of the run in which this page was checked.

rows = {"all faces": slice(None), "women": slice(0, 50), "men": slice(50, 100)}
published = {"all faces": 0.9325, "women": 0.9233, "men": 0.9392}
checked = {"all faces": 0.93251, "women": 0.92328, "men": 0.93922}
for what, part in rows.items():
    if similar is None:
        print(f"{what}: published Spearman {published[what]}, ours {checked[what]} (not now)")
        continue
    rdms = similar.rdms.subset(similar.rdms.conditions[part])
    ours = rf.compare(rdms.sel(view="2-D"), rdms.sel(view="3-D"), method="spearman").item()
    print(f"{what}: published Spearman {published[what]}, ours {ours:.4f}")
    assert abs(ours - published[what]) < 5e-5
