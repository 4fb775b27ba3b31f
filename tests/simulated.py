"""Results with made-up numbers (nothing measured), for tests of figures and reports."""

import numpy as np
import pandas as pd

from rsa_faces.inference import Result
from rsa_faces.inference._result import CEILINGS, PAIRS, SUBJECTS, TABLE

NETWORKS = {"dlib-face": 6, "untrained:dlib-face": 6, "mini-xception": 4, "pixels": 1}


def simulated_result(
    networks=NETWORKS,
    regions=("FFA", "OFA"),
    subset="all",
    n_subjects=8,
    n_conditions=24,
    reliable=True,
    shift=0.0,
    layer_name="block{}.conv",
    seed=0,
):
    """Return a result of simulated numbers; half of the layers differ from 0."""
    rng = np.random.default_rng(seed)
    one = n_subjects == 1
    n_pairs = n_conditions * (n_conditions - 1) // 2
    ceiling = (np.nan, np.nan) if one else (0.35, 0.6)
    reliable = None if one else reliable
    common = {"subset": subset, "n_subjects": n_subjects, "n_conditions": n_conditions}
    tables, pairs, subjects, ceilings = [], [], [], []
    for region in regions:
        names = pd.DataFrame(
            [
                (
                    n,
                    layer_name.format(i) if count > 1 else n if n == "pixels" else "",
                    i,
                    i / max(count - 1, 1),
                )
                for n, count in networks.items()
                for i in range(count)
            ],
            columns=["network", "layer", "layer_index", "depth"],
        )
        n = len(names)
        similarity = 0.25 * np.sin(np.linspace(0, 4, n)) + 0.05 * rng.normal(size=n) + shift
        p = np.where(np.arange(n) % 2, 0.001, 0.5)
        table = names.assign(
            **common,
            region=region,
            method="rho-a",
            similarity=similarity,
            sem=0.04,
            ci_low=similarity - 0.09,
            ci_high=similarity + 0.09,
            p=p,
            p_corrected=p,
            p_ceiling=p,
            p_ceiling_corrected=p,
            max_similarity=1.0,
            ceiling_low=ceiling[0],
            ceiling_high=ceiling[1],
            reliable=reliable,
            n_pairs=n_pairs,
        )
        tables.append(table[list(TABLE)])
        a, b = np.triu_indices(n, k=1)
        difference = similarity[a] - similarity[b]
        pairs.append(
            pd.DataFrame(
                {
                    "network_a": names["network"].to_numpy()[a],
                    "layer_a": names["layer"].to_numpy()[a],
                    "network_b": names["network"].to_numpy()[b],
                    "layer_b": names["layer"].to_numpy()[b],
                    "difference": difference,
                    "sem": 0.05,
                    "p": np.where(np.abs(difference) > 0.2, 0.001, 0.4),
                    "p_corrected": np.where(np.abs(difference) > 0.2, 0.002, 0.5),
                }
            ).assign(**common, region=region)[list(PAIRS)]
        )
        repeated = names.loc[np.repeat(np.arange(n), n_subjects), ["network", "layer"]]
        subjects.append(
            repeated.assign(
                subset=subset,
                region=region,
                subject=np.tile([f"s{i}" for i in range(n_subjects)], n),
                similarity=np.repeat(similarity, n_subjects) + 0.1 * rng.normal(size=len(repeated)),
            )[list(SUBJECTS)]
        )
        ceilings.append(
            pd.DataFrame(
                [
                    {
                        **common,
                        "region": region,
                        "method": "rho-a",
                        "ceiling_low": ceiling[0],
                        "ceiling_low_sem": np.nan if one else 0.05,
                        "ceiling_high": ceiling[1],
                        "ceiling_high_sem": np.nan if one else 0.04,
                        "p_reliable": np.nan if one else 0.001 if reliable else 0.4,
                        "reliable": reliable,
                    }
                ]
            )[list(CEILINGS)]
        )
    settings = {
        "method": "rho-a",
        "bootstrap": "both",
        "n_boot": 1000,
        "seed": 0,
        "alpha": 0.05,
        "correction": "fdr",
        "degrees_of_freedom": max(n_subjects - 1, 1),
        "generalises_to": "new subjects and new conditions",
    }
    frames = (pd.concat(f, ignore_index=True) for f in (tables, pairs, subjects, ceilings))
    return Result(*frames, settings=settings, notes=("made-up numbers: for tests only.",))
