"""Turn photographs of faces in space, as further images to train with.

    python scripts/turn_faces.py FOLDER --out OUT [--turns 4] [--max-yaw 30] [--max-pitch 12]

FOLDER holds photographs, in folders by person or expression or not; OUT gets the same folders with
the face of each photograph cut out (NAME.png) and turned at random (NAME turn 1.png, …). Then train
on OUT: `python scripts/train_identity.py`, `train_expression.py`. Photographs without a face are
named and left out. Use it on the training images only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import rsa_faces as rf
from rsa_faces.networks import detect_landmarks
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.images import SUFFIXES, write_images
from rsa_faces.stimuli.turning import random_turns

AT_ONCE = 200


def main() -> None:
    """Turn what is in the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=4, help="per photograph (default 4)")
    parser.add_argument("--max-yaw", type=float, default=30, help="degrees (default 30)")
    parser.add_argument("--max-pitch", type=float, default=12, help="degrees (default 12)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for folder in sorted(
        {p.parent for p in options.folder.rglob("*") if p.suffix.lower() in SUFFIXES}
    ):
        inside = rf.load_stimuli(folder)
        target = options.out / folder.relative_to(options.folder)
        for start in range(0, len(inside), AT_ONCE):
            some = inside.subset(list(inside.ids[start : start + AT_ONCE]))
            found = rf.detect_faces(some, progress=False)
            for name in found.missing:
                print(f"no face in {folder / name}: left out")
            if len(found.missing) == len(some):
                continue
            crops = rf.crop_faces(some, found, template="box", missing="leave-out")
            turned = random_turns(
                crops,
                detect_landmarks(crops),
                options.turns,
                max_yaw=options.max_yaw,
                max_pitch=options.max_pitch,
                seed=options.seed,
            )
            together = [*crops.ids, *turned.ids]
            write_images(
                StimulusSet.from_arrays(
                    [(crops if name in crops else turned).image(name) for name in together],
                    together,
                ),
                target,
            )
    print(options.out)


if __name__ == "__main__":
    main()
