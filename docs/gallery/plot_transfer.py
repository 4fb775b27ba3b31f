"""
What transfers to what
======================

A linear read-out of identity and of expression, from a network for each. See
:func:`rsa_faces.figures.plot_transfer`.

The numbers are made up: one network has channels for people, the other for smiles.
"""

import numpy as np

import rsa_faces as rf

rng = np.random.default_rng(0)
images = [f"person {i} {e} {k}" for i in range(12) for e in ("neutral", "smiling") for k in "ab"]
person = {name: name.split()[1] for name in images}
smiling = {name: name.split()[2] for name in images}
who = np.repeat(rng.normal(size=(12, 20)), 4, axis=0)
smile = np.tile(np.repeat([[0.0], [2.0]], 2, axis=0), (12, 20))
networks = {
    "identity": {"last": who + 0.6 * rng.normal(size=who.shape)},
    "expression": {"last": smile + rng.normal(size=who.shape)},
}
tasks = {
    "identity": {"labels": person, "across": smiling},
    "expression": {"labels": smiling, "across": person},
}
found = rf.analyses.transfer_matrix(
    networks, tasks, conditions=images, n_permutations=19, progress=False
)
rf.figures.plot_transfer(found)
