"""
92 images: correlations and noise ceilings
==========================================

Kriegeskorte et al. (2008, `doi:10.1016/j.neuron.2008.10.043
<https://doi.org/10.1016/j.neuron.2008.10.043>`_) compared human IT (fMRI) with monkey IT (cells) and report
a correlation of their RDMs of .49; Mur et al. (2013, `doi:10.3389/fpsyg.2013.00128
<https://doi.org/10.3389/fpsyg.2013.00128>`_) added judgements. The RDMs come with the package, as they were
published.
"""

import pandas as pd

import rsa_faces as rf

d92 = rf.datasets.images92()
human = d92.rdms.sel(region="human IT")
monkey = d92.rdms.sel(region="monkey IT")

# %%
# Human and monkey IT
# -------------------

human_mean = human.mean()
ours = rf.compare(human_mean, monkey, method="pearson").item()
table = [["human IT and monkey IT, r", "Kriegeskorte et al. 2008", ".49", f"{ours:.3f}"]]
assert abs(ours - 0.49) < 0.005

# %%
# The same numbers by another program
# -----------------------------------
#
# Noise ceilings of the same RDMs, computed for this page by plain NumPy and SciPy code
# (``tests/test_datasets.py`` holds it): lower and upper, Spearman, subjects with two sessions each.

for region, plain in (("human IT", (0.3723, 0.6657)), ("behaviour", (0.4770, 0.5767))):
    found = rf.noise_ceiling(d92.rdms.sel(region=region), method="spearman")
    ours = found.lower, found.upper
    table.append(
        [
            f"ceiling of {region}, Spearman",
            "plain NumPy",
            "{:.4f} to {:.4f}".format(*plain),
            "{:.4f} to {:.4f}".format(*ours),
        ]
    )
    assert all(abs(a - b) < 5e-5 for a, b in zip(ours, plain, strict=True))

# %%
# Source, their value, ours
# -------------------------

print(pd.DataFrame(table, columns=["what", "source", "theirs", "ours"]).to_string(index=False))

# %%
# The figure of the main analysis shows these ceilings as grey bands.

rf.figures.plot_rdms(
    rf.concat([human_mean.with_labels(region="human IT"), monkey.with_labels(region="monkey IT")]),
    titles=["human IT", "monkey IT"],
    groups=d92.stimuli.metadata["category"].tolist(),
)
