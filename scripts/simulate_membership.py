"""False positives of membership where photographs differ, alone and beside a reference.

python scripts/simulate_membership.py --simulations 400
"""

import argparse

import numpy as np

from rsa_faces.analyses import membership, similarity_scores


def simulated(seed: int, *, closer: float = 1.0, photographs: float = 0.6, n_people: int = 40):
    """Scores of two networks, members and people: members' images differ by less in both.

    `closer` is the share of that difference that is left in the first network, for members.
    """
    rng = np.random.default_rng(seed)
    names = [f"p{i} {k}" for i in range(n_people) for k in range(3)]
    person = {name: name.split()[0] for name in names}
    member = {name: int(person[name][1:]) < n_people // 2 for name in names}
    inside = np.repeat(np.arange(n_people) < n_people // 2, 3)[:, None]
    own = np.repeat(rng.normal(size=(n_people, 16)), 3, axis=0)
    image = np.where(inside, photographs, 1.0) * rng.normal(size=own.shape)
    scores = []
    for share in (closer, 1.0):
        axes = rng.normal(size=(16, 16))
        scores.append(own + image * np.where(inside, share, 1.0) + 0.3 * rng.normal(size=own.shape))
        scores[-1] = similarity_scores({"fc": scores[-1] @ axes}, conditions=names)
    return *scores, member, person


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=400)
    n = parser.parse_args().simulations
    for closer in (1.0, 0.7):
        tables = []
        for seed in range(n):
            one, other, member, person = simulated(seed, closer=closer)
            tables.append(
                membership(one, member, people=person, reference=other, n_permutations=99).table
            )
        for k, sign in enumerate(tables[0]["sign"]):
            rows = [table.iloc[k] for table in tables]
            held = np.mean([row["difference_low"] <= 0 <= row["difference_high"] for row in rows])
            wrong, beyond = (
                np.mean([row[p] <= 0.05 for row in rows]) for p in ("p", "p_difference")
            )
            area = np.mean([row["reference_auc"] for row in rows])
            print(
                f"closer {closer:g} {sign}: reference area {area:.2f}, p {wrong:.3f}, "
                f"p_difference {beyond:.3f}, interval holds 0 {held:.3f}",
                flush=True,
            )
