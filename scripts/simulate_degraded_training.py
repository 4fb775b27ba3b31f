"""Whether small networks trained with degradations name simulated faces better that are made worse.

    python scripts/simulate_degraded_training.py --networks 5

The 18 people of `simulated_faces`, cut out, at 48 px; trained on four expressions in three views,
tested on the other three expressions. Each network is trained twice from the same start: with and
without blur, noise and low light at random strengths (half of the images). Shown: share of right
names of 18 (chance .056), mean over networks, and the mean difference with its standard error.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial

import numpy as np
import torch
from torch import nn

import rsa_faces as rf
from rsa_faces.networks import get_spec
from rsa_faces.networks._weights import initialise
from rsa_faces.networks.training import (
    Augmentation,
    LabelledFaces,
    Recipe,
    accuracy,
    compute_outputs,
    fit,
    shuffled,
)
from rsa_faces.networks.training.objectives import softmax_loss
from rsa_faces.stimuli.degradations import DEGRADATIONS, degrade

INPUT = get_spec("densenet-fer2013").preprocessing  # grey, 48 px
TAUGHT = ("blur", "gaussian-noise", "low-light")
SHOWN = ("neutral", "happy", "surprised", "angry")


def network(n_out: int, seed: int) -> nn.Module:
    """Return a small network of three convolutions."""
    layers = []
    for before, after in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 36, n_out))
    initialise(module, seed)
    return module


def train(faces: LabelledFaces, seed: int, epochs: int, **augmentation) -> nn.Module:
    """Train one network."""
    module = network(len(faces.names), seed)
    with tempfile.TemporaryDirectory() as out:
        fit(
            module,
            softmax_loss,
            faces,
            recipe=Recipe(epochs=epochs, optimizer="adamw", learning_rate=2e-3, seed=seed),
            preprocessing=INPUT,
            batches=partial(shuffled, n_images=len(faces), batch_size=24, seed=seed),
            out=out,
            augment=Augmentation(flip=0, **augmentation),
            device="cpu",
        )
    return module


def simulated_crops():
    """Return small cut-out pictures of the simulated faces."""
    faces = rf.datasets.simulated_faces().stimuli
    found = rf.detect_faces(faces, progress=False)
    return rf.crop_faces(faces, found, template="box", size=64)


def main() -> None:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("--networks", type=int, default=5)
    out.add_argument("--epochs", type=int, default=25)
    args = out.parse_args()
    torch.set_num_threads(1)
    crops = simulated_crops()
    shown = crops.metadata["expression"].isin(SHOWN).to_numpy()
    parts = [
        crops.subset([i for i, s in zip(crops.ids, shown, strict=True) if s == k])
        for k in (True, False)
    ]
    taught, tested = (LabelledFaces.from_stimuli(part, "identity") for part in parts)
    versions = {("as they are", 0): tested}
    for kind in DEGRADATIONS:
        for strength in (2, 4):
            worse = degrade(parts[1], kind, strength, seed=1)
            versions[kind, strength] = LabelledFaces.from_stimuli(worse, "identity")
    right = np.empty((2, args.networks, len(versions)))
    for seed in range(args.networks):
        for way, kinds in enumerate(((), TAUGHT)):
            module = train(taught, seed, args.epochs, degradations=kinds)
            for k, faces in enumerate(versions.values()):
                outputs = compute_outputs(module, faces, preprocessing=INPUT)
                right[way, seed, k] = accuracy(outputs, faces.labels)["accuracy"]
    gain = right[1] - right[0]
    error = gain.std(axis=0, ddof=1) / np.sqrt(args.networks)
    print(f"simulated faces, {args.networks} networks: share named rightly")
    print("                         plain  with degradations  gain (standard error)")
    for k, (kind, strength) in enumerate(versions):
        name = f"{kind} {strength or ''}{' (taught)' if kind in TAUGHT else ''}"
        print(
            f"{name:26s}{right[0, :, k].mean():.2f}{right[1, :, k].mean():13.2f}"
            f"{gain[:, k].mean():16.2f} ({error[k]:.2f})"
        )


if __name__ == "__main__":
    main()
