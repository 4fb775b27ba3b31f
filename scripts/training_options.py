"""Options and steps that train_siamese.py, train_identity.py and train_expression.py share."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from dataclasses import fields
from pathlib import Path

import torch

from rsa_faces._core.errors import InputError
from rsa_faces._core.progress import progress_bar
from rsa_faces.networks import get_spec
from rsa_faces.networks._load import resolve_builder
from rsa_faces.networks._registry import NETWORKS
from rsa_faces.networks._weights import fill, initialise, read_weights
from rsa_faces.networks.training import Augmentation, Lights, Recipe, Turns, find_landmarks, fit
from rsa_faces.networks.training.objectives import use_dropout
from rsa_faces.stimuli.degradations import DEGRADATIONS

#: With torchrun, the first process reports.
FIRST = os.environ.get("RANK", "0") == "0"
OWN = [name for name, spec in NETWORKS.items() if spec.any_outputs]
#: How the networks of Schwartz, O'Nell, Saxe and Anzellotti (2023) were trained, by the authors'
#: programs (dense_id_train_SUBSET and the one for FER2013): Dropout2d(0.5) after each block's
#: convolutions, SGD with momentum 0.9 without weight decay, batches of 64, 201 epochs. They reached
#: 26.5 % (1,503 people, chance 0.07 %) and 63.5 % (7 expressions, PublicTest).
_PAPER = {
    "epochs": 201,
    "batch": 64,
    "optimizer": "sgd",
    "weight_decay": 0.0,
    "dropout": 0.5,
    "crop": 0.0,
}
RECIPES = {
    "celeba": {
        **_PAPER,
        "network": "densenet-celeba",
        "learning_rate": 0.1,
        "schedule": "steps",
        "milestones": tuple(range(30, 201, 30)),
        "decay": 0.5,
        "held_out": 0,
        "held_out_images": 4,
    },
    # Their mirroring never happened: it asked whether randint(0, 1) is above 0.
    "fer2013": {
        **_PAPER,
        "network": "densenet-fer2013",
        "learning_rate": 0.01,
        "schedule": "constant",
        "no_flip": True,
    },
}

AFTER = """
After training, FOLDER holds weights.safetensors (use it with
rsa_faces.load_network(NETWORK, weights="FOLDER/weights.safetensors") or `weights:` in a config),
log.csv (one row per epoch) and checkpoint.pt (for --resume). Several GPUs: start the same command
with `torchrun --nproc-per-node N` instead of `python`; the batch is divided among them.
"""


def parser(doc: str, *, epochs: int, rate: float, batch: int, what: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all three scripts have."""
    out = argparse.ArgumentParser(
        description=doc, epilog=AFTER, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = out.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="where results go")
    add("--epochs", type=int, default=epochs, help=f"passes over the images (default {epochs})")
    add("--batch", type=int, default=batch, help=f"{what} per batch (default {batch})")
    add(
        "--learning-rate",
        type=float,
        default=rate,
        metavar="RATE",
        help=f"the highest one (default {rate:g}); about 0.001 for adamw, 0.01 to 0.1 for sgd. "
        "If the loss becomes nan, divide it by ten",
    )
    add("--optimizer", choices=("sgd", "adamw"), default="adamw", help="default adamw")
    add("--weight-decay", type=float, default=5e-4, metavar="X", help="default 0.0005")
    add(
        "--schedule",
        choices=("cosine", "steps", "constant"),
        default="cosine",
        help="how the learning rate falls: along a cosine to 0 (default), to --decay of it at each "
        "of --milestones, not at all",
    )
    add("--decay", type=float, default=0.1, metavar="FACTOR", help="for steps (default 0.1)")
    add(
        "--dropout",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="channels left out at random after convolutions (default 0)",
    )
    add("--milestones", type=int, nargs="+", default=(), metavar="EPOCH", help="for steps")
    add(
        "--warmup",
        type=float,
        default=0,
        metavar="EPOCHS",
        help="epochs over which the learning rate first rises (default 0)",
    )
    add("--clip", type=float, metavar="NORM", help="shorten gradients longer than this, e.g. 1")
    add(
        "--crop",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="random windows of up to this much less height and width (default 0.1)",
    )
    add("--no-flip", action="store_true", help="do not mirror half of the images at random")
    add(
        "--turn",
        type=float,
        default=0.0,
        metavar="PROBABILITY",
        help="below 0.5: turn images (cut-out faces) in space so that yaws spread (default 0)",
    )
    add(
        "--light",
        type=float,
        default=0.0,
        metavar="PROBABILITY",
        help="below 0.5: let the light on images (cut-out faces) come from another side (default "
        "0)",
    )
    add(
        "--degrade",
        nargs="+",
        default=(),
        metavar="NAME",
        help=f"make images worse at random strengths: {', '.join(DEGRADATIONS)} (default: none)",
    )
    add(
        "--degraded",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of images, with --degrade (default 0.5)",
    )
    add("--weights", type=Path, metavar="FILE", help="start from this file, not at random")
    add("--seed", type=int, default=0, help="first weights, order, augmentation (default 0)")
    add("--device", default="auto", help="auto (default: a CUDA GPU if there is one), cpu, cuda:1")
    add("--workers", type=int, default=0, help="processes that read images (default 0: none extra)")
    add("--mixed", action="store_true", help="half precision where safe; CUDA GPUs only")
    add(
        "--resume",
        action="store_true",
        help="go on after the last epoch in --out; all other options as before",
    )
    return out


def parsed(out: argparse.ArgumentParser, recipe: str) -> argparse.Namespace:
    """Read the command line; with --recipe, options that are not given are those of the paper."""
    out.add_argument(
        "--recipe",
        choices=[recipe],
        help="as the published network was trained; what is given besides takes precedence",
    )
    if "--recipe" in sys.argv:
        out.set_defaults(**RECIPES[recipe])
    return out.parse_args()


def main(run) -> None:
    """Run a script; an error of the user's is one sentence and exit code 2."""
    warnings.simplefilter("default")
    try:
        run()
    except InputError as err:
        print(f"error: {err}", file=sys.stderr)
        sys.exit(2)


def recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe that the options say."""
    return Recipe(**{f.name: getattr(args, f.name) for f in fields(Recipe) if f.name in args})


def network(name: str, n_out: int, args: argparse.Namespace) -> torch.nn.Module:
    """Return a network with `n_out` outputs, drawn at random or with the weights of a file."""
    module = resolve_builder(name)(n_out=n_out)
    start(module, args)
    return module


def start(module: torch.nn.Module, args: argparse.Namespace) -> None:
    """Draw the weights, or read them."""
    if args.weights is None:
        initialise(module, args.seed)
    else:
        fill(module, read_weights(args.weights), source=args.weights.name)
    if args.dropout:
        use_dropout(module, args.dropout)


def train(module, objective, faces, *, network: str, args, batches, validate) -> None:
    """Train with a bar on a terminal, and print the log."""
    turns = lights = None
    if args.turn or args.light:
        landmarks = find_landmarks(faces, device=args.device)
        turns = Turns(landmarks, args.turn) if args.turn else None
        lights = Lights(landmarks, args.light) if args.light else None
    for made in (lights, turns):
        if made is not None and FIRST:
            print(made)
    total = args.epochs * len(batches(0))
    with progress_bar("training", total, show=True) as on_step:
        log = fit(
            module,
            objective,
            faces,
            recipe=recipe(args),
            batches=batches,
            out=args.out,
            preprocessing=get_spec(network).preprocessing,
            validate=validate,
            augment=Augmentation(
                flip=0.0 if args.no_flip else 0.5,
                crop=args.crop,
                turns=turns,
                degradations=tuple(args.degrade),
                degraded=args.degraded,
                lights=lights,
            ),
            resume=args.resume,
            device=args.device,
            workers=args.workers,
            on_step=on_step,
        )
    if FIRST:
        print(log.tail(10).round(4).to_string())
        print(f"the weights are in {args.out / 'weights.safetensors'}")
