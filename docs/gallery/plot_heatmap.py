"""
Similarity by layer and region, as colours
==========================================

Layers of two simulated networks, and models, against the brains of four people and the judgements of sixteen (92
images, real data). See :func:`rsa_faces.figures.plot_heatmap`.
"""

import numpy as np

import rsa_faces as rf

d92 = rf.datasets.images92()
data = rf.concat([d92.rdms.sel(region=region) for region in ("human IT", "behaviour")])
seen = data.mean().vectors[0]
rng = np.random.default_rng(0)
layers = []
for name, most in (("simulated A", 0.8), ("simulated B", 0.3)):
    shares = np.linspace(0, most, 6)[:, None]
    vectors = shares * seen / seen.std() + rng.normal(size=(6, len(seen)))
    labels = {
        "network": name,
        "layer": [f"layer {i}" for i in range(1, 7)],
        "layer_index": range(6),
    }
    layers.append(rf.RDMs(vectors - vectors.min(), data.conditions, "simulated", labels))
models = rf.concat([*layers, d92.models.sel(name=["animacy", "HMAX"])])
result = rf.evaluate(models, data, generalise_to="conditions", uncertainty="analytic")
rf.figures.plot_heatmap(result)
