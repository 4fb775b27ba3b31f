"""Train a network to tell expressions apart.

    python scripts/train_expression.py --fer2013 fer2013.csv --out run --recipe fer2013
    python scripts/train_expression.py --data images --manifest images.csv --label expression \\
        --people identity --out run

Either FER2013's table (columns emotion, pixels, Usage; trains on Training, validates on PublicTest
and, at the end, tests once on PrivateTest), or a folder with a CSV manifest: column `file`, a
column with the expression (--label) and one that says who is shown (--people). Then --held-out
people, drawn at random, are never trained on, so that a face known from training cannot help.

Validation after each epoch: accuracy over images, and its mean over expressions (chance: 1 / their
number), which counts rare ones as much as common ones.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from training_options import FIRST, OWN, main, network, parsed, parser, train

from rsa_faces._core.errors import InputError
from rsa_faces.networks import get_spec
from rsa_faces.networks.training import (
    LabelledFaces,
    accuracy,
    compute_outputs,
    read_fer2013,
    shuffled,
)
from rsa_faces.networks.training.objectives import softmax_loss
from rsa_faces.stimuli import load_stimuli


def options():
    """Read the command line."""
    out = parser(__doc__, epochs=30, rate=1e-3, batch=64, what="images")
    add = out.add_argument
    data = out.add_mutually_exclusive_group(required=True)
    data.add_argument("--fer2013", type=Path, metavar="FILE", help="fer2013.csv")
    data.add_argument("--data", type=Path, metavar="FOLDER", help="images, with --manifest")
    add("--manifest", type=Path, metavar="FILE", help="CSV: column file, and the two below")
    add("--label", default="expression", metavar="COLUMN", help="default expression")
    add("--people", default="identity", metavar="COLUMN", help="default identity")
    add("--held-out", type=int, default=20, metavar="PEOPLE", help="for validation (default 20)")
    add(
        "--network",
        choices=OWN,
        default="densenet-fer2013",
        metavar="NAME",
        help=f"{', '.join(OWN)} (default densenet-fer2013)",
    )
    args = parsed(out, "fer2013")
    if args.data and not args.manifest:
        out.error("--data needs --manifest")
    return args


def split_by_people(args) -> tuple[LabelledFaces, LabelledFaces]:
    """Return the faces of some people for training, and those of others."""
    stimuli = load_stimuli(args.data, manifest=args.manifest)
    faces = LabelledFaces.from_stimuli(stimuli, args.label)
    people = LabelledFaces.from_stimuli(stimuli, args.people)
    if not 0 < args.held_out < len(people.names):
        raise InputError(
            f"expected --held-out between 1 and {len(people.names) - 1}, got {args.held_out}."
        )
    rng = np.random.default_rng(args.seed)
    out = rng.choice(len(people.names), args.held_out, replace=False)
    held_out = np.isin(people.labels, out)
    return faces.subset(np.flatnonzero(~held_out)), faces.subset(np.flatnonzero(held_out))


def measures(module, faces: LabelledFaces, name: str) -> dict[str, float]:
    """Return accuracies on other people."""
    outputs = compute_outputs(module, faces, preprocessing=get_spec(name).preprocessing)
    return accuracy(outputs, faces.labels)


def run() -> None:
    """Train; on FER2013, test."""
    args = options()
    if args.fer2013:
        faces = read_fer2013(args.fer2013)
        held_out = read_fer2013(args.fer2013, usage="PublicTest")
    else:
        faces, held_out = split_by_people(args)
    counts = np.bincount(faces.labels, minlength=len(faces.names))
    shown = ", ".join(f"{name} ({n})" for name, n in zip(faces.names, counts, strict=True))
    print(f"training on {shown}, outputs in this order; validating on {len(held_out)} images")
    module = network(args.network, len(faces.names), args)
    batches = partial(shuffled, n_images=len(faces), batch_size=args.batch, seed=args.seed)
    train(
        module,
        softmax_loss,
        faces,
        network=args.network,
        args=args,
        batches=batches,
        validate=partial(measures, faces=held_out, name=args.network),
    )
    if args.fer2013 and FIRST:
        test = read_fer2013(args.fer2013, usage="PrivateTest")
        print("PrivateTest:", measures(module, test, args.network))


if __name__ == "__main__":
    main(run)
