"""Train a network to tell people apart: by class, or by distance.

    python scripts/train_identity.py --celeba CelebA --out run --recipe celeba
    python scripts/train_identity.py --data VGGFace2/train --out run --network vgg16-faces
    python scripts/train_identity.py --data CASIA --out run --objective arcface --share 0.1
    python scripts/train_identity.py --data CASIA --out run --objective triplet --n-out 128

--data is a folder with one folder per person (LFW, VGGFace2, CASIA-WebFace); --celeba one with
img_align_celeba and identity_CelebA.txt, of which --part is taken. Objectives:

softmax   one output per person, cross-entropy. With --share below 1 only the people of the batch
          and that share of the others, drawn anew for each batch, compete; no other output is
          computed. Their sum is corrected for the drawing unless --no-correction. With torchrun
          and --divide each process holds a part of the outputs (also arcface and cosface).
arcface   the same, but the last layer gives cosines and the right one must win by an angle
          (scale 64, margin 0.5; doi:10.1109/CVPR.2019.00482).
cosface   the same by a difference of cosines (scale 64, margin 0.35; doi:10.1109/CVPR.2018.00552).
triplet   --n-out outputs of length one; two images of a person should be nearer than the nearest
          image of another that is farther (semi-hard; doi:10.1109/CVPR.2015.7298682).

Validation after each epoch: --held-out people, drawn by name, are never trained on, and all pairs
of their images are scored by the cosine of the last layer but one (triplet: of the outputs);
--held-out-images of each person who is trained on are not shown, and named by the highest output
(top-1: the measure of the paper on CelebA).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from training_options import OWN, main, network, parsed, parser, train

from rsa_faces._core.errors import InputError
from rsa_faces.networks import get_spec
from rsa_faces.networks.training import (
    LabelledFaces,
    accuracy,
    all_pairs,
    area_under_roc,
    by_person,
    compute_outputs,
    pair_scores,
    read_celeba,
    read_people,
    shuffled,
)
from rsa_faces.networks.training.objectives import (
    arcface_logits,
    cosface_logits,
    partial_loss,
    triplet_loss,
    use_classes,
)


def options():
    """Read the command line."""
    out = parser(__doc__, epochs=30, rate=1e-3, batch=64, what="images")
    add = out.add_argument
    data = out.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", type=Path, metavar="FOLDER", help="one folder per person")
    data.add_argument("--celeba", type=Path, metavar="FOLDER", help="CelebA as it comes")
    add("--part", choices=("train", "val", "test"), help="of --celeba (default: all)")
    add(
        "--network",
        choices=OWN,
        default="densenet-celeba",
        metavar="NAME",
        help=f"{', '.join(OWN)} (default densenet-celeba)",
    )
    add(
        "--objective",
        choices=("softmax", "arcface", "cosface", "triplet"),
        default="softmax",
        help="default softmax",
    )
    add("--share", type=float, default=1.0, help="share of absent people that compete (default 1)")
    add(
        "--divide",
        action="store_true",
        help="with torchrun: each process holds a part of the outputs, not all; the same result",
    )
    add("--no-correction", action="store_true", help="do not correct for --share")
    add(
        "--margin",
        type=float,
        help="angle in radians for arcface (default 0.5), difference of cosines for cosface "
        "(0.35), of squared distances for triplet (0.2)",
    )
    add("--scale", type=float, default=64.0, help="for arcface and cosface (default 64)")
    add("--n-out", type=int, default=128, help="for triplet: outputs (default 128)")
    add("--images", type=int, default=4, help="for triplet: images of a person (default 4)")
    add("--min-images", type=int, default=2, help="leave out people with fewer (default 2)")
    add("--held-out", type=int, default=20, metavar="PEOPLE", help="for validation (default 20)")
    add(
        "--held-out-images",
        type=int,
        default=0,
        metavar="N",
        help="of each person who is trained on, for top-1 (default 0: none)",
    )
    return parsed(out, "celeba")


def measures(
    module, name: str, layer: str | None, people: LabelledFaces | None, images: LabelledFaces | None
) -> dict[str, float]:
    """Return how well people who were not trained on are told apart, and those who were, named."""
    how, found = {"preprocessing": get_spec(name).preprocessing}, {}
    if people is not None:
        index, same = all_pairs(people)
        scores = pair_scores(compute_outputs(module, people, layer=layer, **how), index)
        found["auc"] = area_under_roc(scores, same)
    if images is not None:
        found["top-1"] = accuracy(compute_outputs(module, images, **how), images.labels)["accuracy"]
    return found


def run() -> None:
    """Train."""
    args = options()
    spec = get_spec(args.network)
    triplet = args.objective == "triplet"
    if triplet and args.divide:
        raise InputError("--divide is for objectives with an output per person.")
    if triplet and args.held_out_images:
        raise InputError("--held-out-images is for objectives with an output per person.")
    at_least = args.images if triplet else max(args.min_images, args.held_out_images + 1)
    if args.celeba:
        faces = read_celeba(args.celeba, part=args.part, min_images=at_least)
    else:
        faces = read_people(args.data, min_images=at_least)
    people = images = None
    if args.held_out:
        faces, people = faces.split(args.held_out, seed=args.seed)
    if args.held_out_images:
        faces, images = faces.split_images(args.held_out_images, seed=args.seed)
    print(f"training on {len(faces)} images of {len(faces.names)} people")
    module = network(args.network, args.n_out if triplet else len(faces.names), args)
    margin = {} if args.margin is None else {"margin": args.margin}
    if triplet:
        objective = partial(triplet_loss, **margin)
        batches = partial(
            by_person,
            labels=faces.labels,
            n_people=max(2, args.batch // args.images),
            n_images=args.images,
            seed=args.seed,
        )
    else:
        logits = {"arcface": arcface_logits, "cosface": cosface_logits}.get(args.objective)
        objective = partial(
            partial_loss,
            layer=use_classes(
                module, spec.any_outputs, cosines=logits is not None, divided=args.divide
            ),
            share=args.share,
            correct=not args.no_correction,
            logits=logits and partial(logits, scale=args.scale, **margin),
        )
        batches = partial(shuffled, n_images=len(faces), batch_size=args.batch, seed=args.seed)
    validate = None
    if people is not None or images is not None:
        layer = None if triplet else spec.layers[-2]
        validate = partial(measures, name=args.network, layer=layer, people=people, images=images)
    train(
        module,
        objective,
        faces,
        network=args.network,
        args=args,
        batches=batches,
        validate=validate,
    )
    if not triplet:
        more = ", ..." if len(faces.names) > 5 else ""
        print(f"outputs, in order: {', '.join(faces.names[:5])}{more} (without held-out people)")


if __name__ == "__main__":
    main(run)
