"""Train a Siamese network: do two photographs show the same person?

    python scripts/train_siamese.py --data CASIA --out run --test LFW --pairs pairs.txt
    python scripts/train_siamese.py --data LFW --out run --test LFW --pairs pairs.txt --fold 1
    python scripts/train_siamese.py --data LFW --train-pairs pairsDevTrain.txt --out run
    python scripts/train_siamese.py --orl ORL --out run          # the bundled siamese-orl

--data is a folder with one folder per person (LFW, VGGFace2, CASIA-WebFace). Every batch holds a
few people with a few images each; all pairs in it are judged, same and different counting half
each (or only the pairs of --train-pairs). Nobody who is tested is trained on: the people of
--pairs (with --fold: of that fold) and those of --held-out are left out of training by name.

Test: on --pairs without --fold, the accuracy is LFW's: each fold at the threshold that is best on
the others. With --fold, that fold alone at the network's own judgement (logit 0).
"""

from __future__ import annotations

import tempfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from training_options import FIRST, main, parser, start, train

from rsa_faces._core.errors import InputError
from rsa_faces.networks import get_spec
from rsa_faces.networks.families.siamese import SiameseNet
from rsa_faces.networks.training import (
    LabelledFaces,
    all_pairs,
    area_under_roc,
    by_person,
    compute_outputs,
    pair_scores,
    pairwise,
    read_pairs,
    read_people,
    tar_at_far,
    verification,
)
from rsa_faces.networks.training.objectives import pair_loss, start_head

NETWORK = "siamese-lfw"
INPUT = get_spec(NETWORK).preprocessing
#: How siamese-orl was trained; chosen on people 1 to 30 alone.
ORL = {
    "epochs": 60,
    "batch": 10,
    "images": 4,
    "learning_rate": 1e-3,
    "clip": 1.0,
    "crop": 0.2,
    "width": 16,
    "n_out": 256,
    "held_out": 0,
}
ORL_TRAINED = [f"s{i}" for i in range(1, 31)]


def options():
    """Read the command line."""
    out = parser(__doc__, epochs=30, rate=1e-3, batch=16, what="people (or given pairs)")
    add = out.add_argument
    data = out.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", type=Path, metavar="FOLDER", help="one folder per person")
    data.add_argument(
        "--orl",
        type=Path,
        metavar="PATH",
        help="the AT&T/ORL faces: a folder with s1 to s40, or a zip that holds one; "
        "trains on s1 to s30 with the settings of siamese-orl",
    )
    add(
        "--train-pairs",
        type=Path,
        metavar="FILE",
        help="train on these pairs of --data only (LFW's pairsDevTrain.txt)",
    )
    add("--images", type=int, default=4, help="images of a person per batch (default 4)")
    add(
        "--held-out",
        type=int,
        default=20,
        metavar="PEOPLE",
        help="people drawn for validation after each epoch (default 20; 0: none)",
    )
    add("--test", type=Path, metavar="FOLDER", help="the faces of --pairs, one folder per person")
    add("--pairs", type=Path, metavar="FILE", help="pairs to test at the end (LFW's pairs.txt)")
    add("--fold", type=int, metavar="K", help="test fold K of --pairs (1 to 10) only")
    add(
        "--width",
        type=int,
        default=64,
        help="channels of the first layer (default 64; siamese-lfw opens 64 only)",
    )
    add("--n-out", type=int, default=4096, help="length of an embedding (default 4096)")
    args = out.parse_args()
    if (args.pairs is None) != (args.test is None):
        out.error("--pairs and --test belong together")
    if args.fold is not None and args.pairs is None:
        out.error("--fold needs --pairs")
    if args.orl:
        vars(args).update(ORL)
    return args


def read_orl(path: Path) -> LabelledFaces:
    """Return the AT&T/ORL faces from a folder or a zip, in memory."""
    with tempfile.TemporaryDirectory() as folder:
        if path.is_file():
            with zipfile.ZipFile(path) as archive:
                inside = [n for n in archive.namelist() if n.endswith(".pgm")]
                archive.extractall(folder, inside)
            found = next(Path(folder).rglob("s1"), None)
            if found is None:
                raise InputError(f"expected the ORL faces in {path}, but it holds no folder s1.")
            path = found.parent
        faces = read_people(path)
        images = [faces.image(i) for i in range(len(faces))]
    return LabelledFaces(images, faces.ids, faces.labels, faces.names)


def measures(network: SiameseNet, faces: LabelledFaces) -> dict[str, float]:
    """Return how well all pairs of people who were not trained on are told apart."""
    index, same = all_pairs(faces)
    outputs = compute_outputs(network, faces, preprocessing=INPUT)
    return {
        f"auc {name}": area_under_roc(pair_scores(outputs, index, score=score), same)
        for name, score in (("head", network.head), ("distance", "distance"))
    }


def test(network: SiameseNet, args, pairs) -> None:
    """Print what the network reaches on the pairs of a protocol."""
    faces = read_people(args.test).keep(sorted(frozenset().union(*pairs.people)))
    outputs = compute_outputs(network, faces, preprocessing=INPUT)
    scores = pair_scores(outputs, pairs.index(faces), score=network.head)
    auc = area_under_roc(scores, pairs.same)
    print(f"\n{len(pairs)} pairs of {args.pairs.name}: AUC {auc:.4f}")
    if len(pairs.people) > 1:
        found = verification(scores, pairs.same, pairs.fold)
        print(f"accuracy {found.accuracy:.4f} ± {found.standard_error:.4f} (standard error)")
    else:
        print(f"accuracy at logit 0: {((scores >= 0) == pairs.same).mean():.4f}")
    print(tar_at_far(scores, pairs.same).round(4).to_string())


def run() -> None:
    """Train, then test."""
    args = options()
    pairs = None if args.pairs is None else read_pairs(args.pairs)
    if args.fold is not None:
        pairs = pairs.subset(args.fold - 1)
    tested = frozenset().union(*pairs.people) if pairs else frozenset()
    if args.orl:
        faces = read_orl(args.orl).keep(ORL_TRAINED)
    elif args.train_pairs:
        faces = read_people(args.data, leave_out=tested)
    else:
        faces = read_people(args.data, min_images=args.images, leave_out=tested)
    held_out = None
    if args.train_pairs:
        given = read_pairs(args.train_pairs)
        faces = faces.keep(sorted(frozenset().union(*given.people)))
        batches = partial(pairwise, pairs=given.index(faces), batch_size=args.batch, seed=args.seed)
    else:
        if args.held_out:
            faces, held_out = faces.split(args.held_out, seed=args.seed)
        batches = partial(
            by_person,
            labels=faces.labels,
            n_people=args.batch,
            n_images=args.images,
            seed=args.seed,
        )
    print(
        f"training on {len(faces)} images of {len(faces.names)} people; {len(tested)} tested "
        "people are left out"
    )
    network = SiameseNet(args.n_out, args.width)
    start(network, args)
    if args.weights is None:
        some = faces.subset(np.unique(batches(0)[0]))  # given pairs share images
        embeddings = compute_outputs(network, some, preprocessing=INPUT)
        start_head(network.head, torch.from_numpy(embeddings))
    objective = partial(pair_loss, head=network.head, pairs="given" if args.train_pairs else "all")
    validate = None if held_out is None else partial(measures, faces=held_out)
    train(network, objective, faces, network=NETWORK, args=args, batches=batches, validate=validate)
    if pairs is not None and FIRST:
        test(network, args, pairs)


if __name__ == "__main__":
    main(run)
