"""Simulated membership: where photographs differ, and through a network that was fine-tuned.

python scripts/simulate_membership.py --simulations 400
python scripts/simulate_membership.py --fine-tuned 40

The second trains small networks on simulated people (mixtures of the rendered faces of
`simulated_faces`, with marks of their own, in noise and changing light): a first one on 20 people,
then fine-tuned through all layers, with new outputs, on 20 others. Scores of new pictures of the
first 20 and of 20 people whom nobody saw are attacked, beside a reference trained on the other 20
alone.
"""

import argparse
import functools

import numpy as np
import torch
from torch import nn

from rsa_faces.analyses import membership, similarity_scores
from rsa_faces.datasets import simulated_faces


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


def photographs_differ(n_simulations: int) -> None:
    """Print how often what photographs tell is taken for membership."""
    for closer in (1.0, 0.7):
        tables = []
        for seed in range(n_simulations):
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


N_PEOPLE, SIDE, FINE = 20, 16, (0, 50, 400)


@functools.cache
def rendered() -> np.ndarray:
    """Return small grey pictures of the rendered people, (18, 21, SIDE * SIDE), alike in order."""
    stimuli = simulated_faces().stimuli
    table = stimuli.metadata.reset_index(drop=True)
    order = table.sort_values(["identity", "expression", "yaw"], kind="stable").index
    grey = np.array([stimuli.image(stimuli.ids[i])[16:208, 16:208].mean(axis=2) for i in order])
    grey = grey.reshape(-1, SIDE, 192 // SIDE, SIDE, 192 // SIDE).mean(axis=(2, 4)) / 255
    return grey.reshape(table["identity"].nunique(), 21, -1) - grey.mean()


def simulated_people(rng: np.random.Generator, n_people: int) -> np.ndarray:
    """Return pictures, (n_people, 21, SIDE * SIDE), of people who are mixtures of rendered ones."""
    shares = rng.dirichlet(np.full(len(rendered()), 0.3), n_people)
    people = np.einsum("pi,ikx->pkx", shares, rendered())
    people = people + 0.06 * rng.normal(size=(n_people, 1, SIDE * SIDE))  # marks of their own
    light = rng.normal(1, 0.15, people.shape[:2])[..., None]
    return people * light + 0.1 * rng.normal(size=people.shape)


def taught(layers: nn.Module, pictures: np.ndarray, steps: int, outputs=None) -> nn.Module:
    """Train layers, with outputs on top, to name people; return the layers."""
    x = torch.from_numpy(pictures.reshape(-1, pictures.shape[-1])).float()
    labels = torch.arange(len(pictures)).repeat_interleave(pictures.shape[1])
    outputs = nn.Linear(64, len(pictures)) if outputs is None else outputs
    learned = [*layers.parameters(), *outputs.parameters()]
    optimizer = torch.optim.AdamW(learned, 1e-3, weight_decay=5e-4)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(outputs(layers(x)), labels).backward()
        optimizer.step()
    return layers


def fresh() -> nn.Sequential:
    """Return the layers below the outputs, at random."""
    return nn.Sequential(nn.Linear(SIDE * SIDE, 128), nn.ReLU(), nn.Linear(128, 64))


def study(seed: int) -> dict:
    """Return tables of membership: of a network that never saw members, and by fine-tuning."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    people = rng.permuted(np.arange(21)[None].repeat(3 * N_PEOPLE, axis=0), axis=1)[..., None]
    people = np.take_along_axis(simulated_people(rng, 3 * N_PEOPLE), people, axis=1)
    first, second = people[:N_PEOPLE, :12], people[N_PEOPLE : 2 * N_PEOPLE, :12]
    shown = np.r_[people[:N_PEOPLE, 12:16], people[2 * N_PEOPLE :, 12:16]]
    names = [f"{p} {k}" for p in range(len(shown)) for k in range(4)]
    person = {name: name.split()[0] for name in names}
    member = {name: int(person[name]) < N_PEOPLE for name in names}

    def scores(layers):
        with torch.no_grad():
            x = layers(torch.from_numpy(shown.reshape(len(names), -1)).float()).double().numpy()
        return similarity_scores({"fc": x}, conditions=names)

    def attacked(layers):
        how = {"people": person, "reference": reference, "n_permutations": 199}
        return membership(scores(layers), member, **how).table

    reference = scores(taught(fresh(), second, 200))
    found = {"never saw them": attacked(taught(fresh(), second, 200))}
    layers, outputs = taught(fresh(), first, 200), nn.Linear(64, N_PEOPLE)
    for before, steps in zip((0, *FINE), FINE, strict=False):
        layers = taught(layers, second, steps - before, outputs)
        found[f"fine-tuned for {steps} steps"] = attacked(layers)
    return found


def fine_tuned(n_studies: int) -> None:
    """Print what is left of membership after fine-tuning."""
    torch.set_num_threads(1)
    studies = [study(seed) for seed in range(n_studies)]
    print(f"{n_studies} simulated studies of {N_PEOPLE} members and {N_PEOPLE} others; mean area,")
    print("mean difference from the reference's area with mean interval, share p_difference <= .05")
    for network in studies[0]:
        for k, sign in enumerate(studies[0][network]["sign"]):
            rows = [one[network].iloc[k] for one in studies]
            auc, gain, low, high = (
                np.mean([row[name] for row in rows])
                for name in ("auc", "difference", "difference_low", "difference_high")
            )
            share = np.mean([row["p_difference"] <= 0.05 for row in rows])
            print(
                f"{network:28s}{sign:8s} area {auc:.2f}, difference {gain:+.2f} "
                f"({low:+.2f} to {high:+.2f}), found {share:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--fine-tuned", type=int, metavar="STUDIES")
    args = parser.parse_args()
    if args.fine_tuned:
        fine_tuned(args.fine_tuned)
    else:
        photographs_differ(args.simulations)
