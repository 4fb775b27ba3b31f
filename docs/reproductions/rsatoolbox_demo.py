"""
rsatoolbox: the same numbers
============================

van den Bosch et al. (2025, `doi:10.7554/eLife.107828 <https://doi.org/10.7554/eLife.107828>`_): their
package, installed beside this one, computes the same RDMs and comparisons. Where the two differ on purpose is
listed below.
"""

import numpy as np
import pandas as pd
import rsatoolbox

import rsa_faces as rf

d92 = rf.datasets.images92()
behaviour = d92.rdms.sel(region="behaviour")
models = d92.models.sel(name=["HMAX", "V1", "Silhouette", "animacy"])
theirs_models, theirs_data = models.to_rsatoolbox(), behaviour.to_rsatoolbox()

names = {
    "pearson": "corr",
    "spearman": "spearman",
    "rho-a": "rho-a",
    "tau-a": "tau-a",
    "kendall": "tau-b",
    "cosine": "cosine",
}
rows = []
for ours, theirs in names.items():
    here = rf.compare(models, behaviour, method=ours)
    there = rsatoolbox.rdm.compare(theirs_models, theirs_data, method=theirs)
    rows.append([ours, theirs, here.mean(), there.mean(), np.abs(here - there).max()])
    np.testing.assert_allclose(here, there, atol=1e-10)

columns = ["here", "there", "our mean", "their mean", "largest difference"]
print(pd.DataFrame(rows, columns=columns).round(12).to_string(index=False))

# %%
# Where the two differ
# --------------------
#
# - Conditions are matched by name here; there the vectors are compared as they stand.
# - A constant RDM gives NaN and a warning here, 0 there (``corr``).
# - ``sqeuclidean`` here is ``euclidean`` there times the number of channels.
