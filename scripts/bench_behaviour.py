"""How long inverse MDS and the choice of the next trial take.

    OMP_NUM_THREADS=1 python scripts/bench_behaviour.py

Simulated raters, 100 images, 60 trials of at most 20 (the first of all images, or of 20). Printed:
inverse MDS of all trials; the choice of the next trial as a rater goes on, with inverse MDS of the
trials so far (what a rater waits for between two trials); and the same through the task's web
application, with the database. For 200 raters at once over HTTP, with the 95th percentile:

    RSA_FACES_RATERS=200 python -m pytest -s -q tests/test_arrange.py -k many_raters
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.distance import pdist, squareform
from simulate_arrangements import placed

from rsa_faces.behaviour import Trial, inverse_mds, next_trial


def timed(do, repeats: int) -> tuple[float, float]:
    """Return the median and the longest of several times, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        do()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), max(times)


def session(distances: np.ndarray, names, n_trials: int, n_max: int | None):
    """Return a simulated rater's trials and the seconds that each choice took."""
    rng = np.random.default_rng(0)
    trials, waits = [], []
    for k in range(n_trials):
        start = time.perf_counter()
        chosen = next_trial(trials, names, n_max=n_max, seed=k)
        waits.append(time.perf_counter() - start)
        at = [names.index(name) for name in chosen]
        trials.append(Trial(chosen, placed(distances[np.ix_(at, at)], rng)))
    return trials, waits


def through_the_application(n_images: int, n_trials: int, n_max: int) -> list[float]:
    """Return how long each request for the next trial took."""
    from fastapi.testclient import TestClient

    from rsa_faces.behaviour.arrange import ArrangeConfig, create_app

    rng = np.random.default_rng(1)
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(n_images):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path(folder, f"image {i:03d}.png"))
        config = ArrangeConfig(
            title="bench",
            stimuli={"folder": folder},
            stop={"trials": n_trials},
            max_items=n_max,
            raters={"links": 1},
            fastest=0,
            plain_http=True,
            hosts=["testserver"],
            encrypted_disk=True,
            second_factor=False,
            link_key=f"{folder}/arrange.key",
            database=f"sqlite:///{folder}/bench.sqlite",
        )
        app = create_app(config, token="a token of the bench, long enough")
        with TestClient(app) as client:
            token = app.state.study.store.raters()[0].token
            client.headers["authorization"] = f"Bearer {token}"
            link = "/api/t"
            client.post(link + "/consent")
            state = client.post(link + "/ready").json()
            while state["trial"] is not None:
                items = state["trial"]["items"]
                angle, far = rng.random(len(items)) * 2 * np.pi, np.sqrt(rng.random(len(items))) / 2
                xy = np.round(np.stack([far * np.cos(angle), far * np.sin(angle)], axis=1), 5)
                places = [
                    {"item": i, "x": x, "y": y}
                    for i, (x, y) in zip(items, xy.tolist(), strict=True)
                ]
                body = {"placements": places, "seconds": 1.0}
                client.post(f"{link}/trials/{state['trial']['id']}", json=body).raise_for_status()
                start = time.perf_counter()
                state = client.get(link).json()
                times.append(time.perf_counter() - start)
        app.state.study.store.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--trials", type=int, default=60)
    options = parser.parse_args()
    points = np.random.default_rng(0).normal(size=(options.images, 5))
    distances = squareform(pdist(points))
    names = tuple(f"image {i:03d}" for i in range(options.images))
    what = f"{options.images} images, {options.trials} trials"
    for n_max in (20, None):
        first = "20" if n_max else "all"
        trials, waits = session(distances, names, options.trials, n_max)
        median, longest = timed(lambda trials=trials: inverse_mds(trials, names), 5)
        print(
            f"{what}, first of {first}: inverse MDS median {median:.3f} s, longest "
            f"{longest:.3f} s; next trial median {np.median(waits):.3f} s, 95 % within "
            f"{np.percentile(waits, 95):.3f} s, longest {max(waits):.3f} s"
        )
    times = through_the_application(options.images, options.trials, 20)
    print(
        f"{what}, through the web application: next trial median {np.median(times):.3f} s, 95 % "
        f"within {np.percentile(times, 95):.3f} s, longest {max(times):.3f} s"
    )


if __name__ == "__main__":
    main()
