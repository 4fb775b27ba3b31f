"""Train a network to tell people apart: by class, or by distance.

    python scripts/train_identity.py --data VGGFace2/train --out run --network vgg16-faces
    python scripts/train_identity.py --data CASIA --out run --objective arcface --share 0.1
    python scripts/train_identity.py --data CASIA --out run --objective triplet --n-out 128

--data is a folder with one folder per person (LFW, VGGFace2, CASIA-WebFace). Objectives:

softmax   one output per person, cross-entropy. With --share below 1 only the people of the batch
          and that share of the others, drawn anew for each batch, compete; their sum is corrected
          for the drawing unless --no-correction.
arcface   the same, but the last layer gives cosines and the right one must win by an angle
          (scale 64, margin 0.5; doi:10.1109/CVPR.2019.00482). Takes --share as well.
triplet   --n-out outputs of length one; two images of a person should be nearer than the nearest
          image of another that is farther (semi-hard; doi:10.1109/CVPR.2015.7298682).

Validation: --held-out people, drawn by name, are never trained on; after each epoch all pairs of
their images are scored by the cosine of the last layer but one (triplet: of the outputs).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from training_options import OWN, main, network, parser, train

from rsa_faces.networks import get_spec
from rsa_faces.networks.training import (
    LabelledFaces,
    all_pairs,
    area_under_roc,
    by_person,
    compute_outputs,
    pair_scores,
    read_people,
    shuffled,
)
from rsa_faces.networks.training.objectives import (
    arcface_loss,
    sampled_softmax_loss,
    triplet_loss,
    use_cosines,
)


def options():
    """Read the command line."""
    out = parser(__doc__, epochs=30, rate=1e-3, batch=64, what="images")
    add = out.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER", help="one folder per person")
    add(
        "--network",
        choices=OWN,
        default="densenet-celeba",
        metavar="NAME",
        help=f"{', '.join(OWN)} (default densenet-celeba)",
    )
    add(
        "--objective",
        choices=("softmax", "arcface", "triplet"),
        default="softmax",
        help="default softmax",
    )
    add("--share", type=float, default=1.0, help="share of absent people that compete (default 1)")
    add("--no-correction", action="store_true", help="do not correct for --share")
    add(
        "--margin",
        type=float,
        help="angle in radians for arcface (default 0.5); difference of "
        "squared distances for triplet (default 0.2)",
    )
    add("--scale", type=float, default=64.0, help="for arcface (default 64)")
    add("--n-out", type=int, default=128, help="for triplet: outputs (default 128)")
    add("--images", type=int, default=4, help="for triplet: images of a person (default 4)")
    add("--min-images", type=int, default=2, help="leave out people with fewer (default 2)")
    add("--held-out", type=int, default=20, metavar="PEOPLE", help="for validation (default 20)")
    return out.parse_args()


def measures(module, faces: LabelledFaces, name: str, layer: str | None) -> dict[str, float]:
    """Return how well all pairs of people who were not trained on are told apart."""
    index, same = all_pairs(faces)
    outputs = compute_outputs(
        module, faces, preprocessing=get_spec(name).preprocessing, layer=layer
    )
    return {"auc": area_under_roc(pair_scores(outputs, index), same)}


def run() -> None:
    """Train."""
    args = options()
    spec = get_spec(args.network)
    triplet = args.objective == "triplet"
    faces = read_people(args.data, min_images=args.images if triplet else args.min_images)
    held_out = None
    if args.held_out:
        faces, held_out = faces.split(args.held_out, seed=args.seed)
    print(f"training on {len(faces)} images of {len(faces.names)} people")
    module = network(args.network, args.n_out if triplet else len(faces.names), args)
    margin = {} if args.margin is None else {"margin": args.margin}
    shares = {"share": args.share, "correct": not args.no_correction}
    if args.objective == "arcface":
        use_cosines(module, spec.any_outputs)
        objective = partial(arcface_loss, scale=args.scale, **margin, **shares)
    elif triplet:
        objective = partial(triplet_loss, **margin)
    else:
        objective = partial(sampled_softmax_loss, **shares)
    if triplet:
        n_people = max(2, args.batch // args.images)
        batches = partial(
            by_person, labels=faces.labels, n_people=n_people, n_images=args.images, seed=args.seed
        )
    else:
        batches = partial(shuffled, n_images=len(faces), batch_size=args.batch, seed=args.seed)
    validate = None
    if held_out is not None:
        layer = None if triplet else spec.layers[-2]
        validate = partial(measures, faces=held_out, name=args.network, layer=layer)
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
        print(
            f"outputs, in order: {', '.join(faces.names[:5])}"
            f"{', ...' if len(faces.names) > 5 else ''} (folders in alphabetical order, without "
            "the held-out ones)"
        )


if __name__ == "__main__":
    main(run)
