"""The run: extract, build RDMs, evaluate, draw, report; resumable at every step."""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from rsa_faces import __version__
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path, file_names, write_text
from rsa_faces.extraction import select_layers
from rsa_faces.inference import Result, evaluate
from rsa_faces.networks import Network, get_spec, load_network
from rsa_faces.rdm import RDMs, concat, layer_rdms, load_rdms
from rsa_faces.runs._cluster_config import ClusterConfig
from rsa_faces.runs._inputs import Inputs, read_inputs
from rsa_faces.runs._parts import Parts, limited_threads, opened
from rsa_faces.runs._provenance import git_state, machine, versions
from rsa_faces.runs._reading import dump_config
from rsa_faces.runs._steps import Steps, locked
from rsa_faces.runs.compare.config import Config, load_config
from rsa_faces.stimuli import FaceTable, crop_faces, detect_faces

OnStep = Callable[[int, int, str], None]


@dataclass(frozen=True)
class RunOutput:
    """What a run leaves: the result and where its files are."""

    folder: Path
    result: Result
    main_figure: Path
    report: Path


def run(
    config: Config,
    folder: Path,
    *,
    device: str = "auto",
    jobs: int | None = None,
    fresh: bool = False,
    cluster: str | Path | ClusterConfig | None = None,
    on_step: OnStep | None = None,
) -> RunOutput:
    """Run an experiment, or go on with it where an earlier run of the same folder stopped.

    Parameters
    ----------
    config : Config
        From :func:`rsa_faces.runs.compare.config.load_config`.
    folder : Path
        Where results go (made if missing).
    device : str, default "auto"
        Where networks run.
    jobs : int, optional
        Processor threads; all by default.
    fresh : bool, default False
        Forget what an earlier run left in `folder` (only files that a run writes).
    cluster : path-like or ClusterConfig, optional
        Where networks and regions are done, side by side; the numbers do not depend on it. The
        folder, the images and weight files must be on storage that all workers share.
    on_step : callable, optional
        Called as ``on_step(done, total, what)`` before each step.

    Returns
    -------
    RunOutput

    Raises
    ------
    InputError
        If the input is wrong; nothing has been written then. Also if `folder` holds a run of
        another configuration and `fresh` is False.
    """
    with limited_threads(jobs):
        inputs = read_inputs(config)
        layers = _check_networks(config, inputs, device)
        faces = _find_faces(config, inputs)
        _claim(folder, config, fresh=fresh)
        with locked(folder), opened(cluster) as parts:
            return _Run(
                config, folder.resolve(), inputs, layers, faces, device, on_step, parts
            ).all_steps()


class _Run:
    """One run; its methods are the steps, in order."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        inputs: Inputs,
        layers: dict[str, list[str]],
        faces: FaceTable | None,
        device: str,
        on_step: OnStep | None,
        parts: Parts,
    ) -> None:
        self.config, self.folder, self.inputs = config, folder, inputs
        self.layers, self.faces, self.device = layers, faces, device
        self.steps, self.parts = Steps(folder), parts
        self.started = datetime.now(UTC)
        self.clock = time.perf_counter()
        self.weights: dict[str, str] = {}
        self._on_step = on_step or (lambda done, total, what: None)
        self._done = 0
        self._total = len(config.networks) + len(inputs.subsets) * len(inputs.data) + 2

    def tell(self, what: str) -> None:
        """Report the step about to be done."""
        self._on_step(self._done, self._total, what)
        self._done += 1

    def all_steps(self) -> RunOutput:
        """Run every step and return what it left."""
        from rsa_faces.runs.compare.outputs import write_outputs

        if self.faces is not None:
            with atomic_path(self.folder / "faces.csv") as temporary:
                self.faces.table.to_csv(temporary, index_label="id")
        models = self.model_rdms()
        result = self.evaluations(models)
        self.tell("figures and report")
        output = write_outputs(self, models, result)
        self._on_step(self._total, self._total, "done")
        return output

    def model_rdms(self) -> RDMs:
        """Return the RDMs of all layers and models, from disk where they are done."""
        parts = self.network_rdms()
        if self.inputs.models is not None:
            parts.append(self.inputs.models)
        return concat(parts)

    def network_rdms(self) -> list[RDMs]:
        """Return each network's layer RDMs."""
        waiting = []
        files = file_names(entry.name for entry in self.config.networks)
        for entry in self.config.networks:
            network = load_network(
                entry.name, device=self.device, weights=entry.weights, seed=self.config.seed
            )
            self.weights[entry.name] = network.weights_sha256
            stimuli = self.inputs.stimuli
            if entry.crop_faces:
                stimuli = crop_faces(stimuli, self.faces, template=network.spec.crop)
            depends_on = [
                __version__,
                entry.name,
                network.weights_sha256,
                repr(network.spec.preprocessing),
                stimuli.hash,
                repr((entry.reduce, self.config.seed)),
                self.config.measure,
                *self.layers[entry.name],
            ]
            step, name = f"rdms {entry.name}", f"rdms/{files[entry.name]}.h5"
            wait = None
            if not self.steps.is_done(step, depends_on):
                options = {
                    "reduce": entry.reduce, "seed": self.config.seed,
                    "layers": self.layers[entry.name], "measure": self.config.measure,
                    "budget": self.config.budget, "progress": False,
                }  # fmt: skip
                opening = {
                    "device": self.device,
                    "weights": entry.weights,
                    "seed": self.config.seed,
                }
                wait = self.parts.begin(
                    _make_rdms, entry.name, opening, stimuli, options, self.folder / name
                )
            waiting.append((entry.name, step, depends_on, name, wait))
        found = []
        for network_name, step, depends_on, name, wait in waiting:
            self.tell(f"layers of {network_name}")
            self.steps.run(step, depends_on, [name], wait)
            found.append(load_rdms(self.folder / name))
        return found

    def evaluations(self, models: RDMs) -> Result:
        """Return the tests of every subset and region, from disk where they are done."""
        waiting = []
        subsets = file_names(self.inputs.subsets)
        regions = file_names(entry.region for entry in self.config.data)
        for subset, conditions in self.inputs.subsets.items():
            for entry in self.config.data:
                name = f"parts/{subsets[subset]}--{regions[entry.region]}.json"
                data = self.inputs.data[entry.region].subset(conditions)
                part_models = models.subset(conditions)
                inference = self.config.inference
                options = {
                    "method": self.config.method,
                    "generalise_to": entry.generalise_to or inference.generalise_to,
                    "uncertainty": inference.uncertainty,
                    "n_boot": inference.n_boot,
                    "groups": self.inputs.groups,
                    "blocks": self.inputs.blocks,
                    "family": inference.family,
                    "tail": inference.tail,
                    "alpha": inference.alpha,
                    "correction": inference.correction,
                    "by": inference.by,
                    "seed": self.config.seed,
                }
                depends_on = [__version__, part_models.hash, data.hash, subset, repr(options)]
                step, wait = f"evaluate {subset} {entry.region}", None
                if not self.steps.is_done(step, depends_on):
                    arguments = {"subset": subset, **options}
                    wait = self.parts.begin(
                        _make_evaluation, part_models, data, arguments, self.folder / name
                    )
                waiting.append((f"{entry.region}, {subset}", step, depends_on, name, wait))
        parts = []
        for what, step, depends_on, name, wait in waiting:
            self.tell(what)
            self.steps.run(step, depends_on, [name], wait)
            # Always read back: a resumed run then ends with the same bytes.
            parts.append(Result.from_json((self.folder / name).read_text(encoding="utf-8")))
        result = Result.concat(parts)
        return replace(result, notes=(*self.inputs.notes, *result.notes))

    def provenance(self, models: RDMs) -> dict:
        """Return all that the numbers depend on."""
        return {
            "rsa-faces": __version__,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self.clock, 1),
            "seconds_of_steps": self.steps.seconds,
            "steps_reused": self.steps.reused,
            "seed": self.config.seed,
            "stimuli_sha256": self.inputs.stimuli.hash,
            "weights_sha256": self.weights,
            "data_sha256": {region: rdms.hash for region, rdms in self.inputs.data.items()},
            "models_sha256": models.hash,
            "versions": versions(),
            "machine": machine(),
            "git": git_state(Path.cwd()),
        }


def _make_rdms(name: str, opening: dict, stimuli, options: dict, path: Path) -> None:
    """Write one network's layer RDMs. May run on another machine."""
    network = load_network(name, **opening)
    with _patterns_named():
        rdms = layer_rdms(network, stimuli, **options)
    _check_defined(rdms, name)
    rdms.save(path)


def _make_evaluation(models: RDMs, data: RDMs, arguments: dict, path: Path) -> None:
    """Write the tests of one region and subset. May run on another machine."""
    with warnings.catch_warnings():
        # What evaluate warns of is in its notes, which the run shows and keeps.
        warnings.simplefilter("ignore", UserWarning)
        result = evaluate(models, data, **arguments)
    write_text(path, result.to_json())


def _find_faces(config: Config, inputs: Inputs) -> FaceTable | None:
    """Return the face of each stimulus where a network wants it cut out; none missing."""
    cropped = [entry.name for entry in config.networks if entry.crop_faces]
    if not cropped:
        return None
    for name in cropped:
        if not get_spec(name).crop:
            raise InputError(
                f"networks: {name!r} was not trained on faces cut out of photographs; leave "
                "crop_faces out."
            )
    faces = detect_faces(inputs.stimuli)
    crop_faces(inputs.stimuli, faces)  # says which stimuli have no face
    return faces


def _check_networks(config: Config, inputs: Inputs, device: str) -> dict[str, list[str]]:
    """Return each network's layers; unknown layers and missing weights are errors now."""
    layers = {}
    for entry in config.networks:
        network: Network = load_network(
            entry.name, device=device, weights=entry.weights, seed=config.seed
        )
        layers[entry.name] = select_layers(network, entry.layers)
    return layers


def _claim(folder: Path, config: Config, *, fresh: bool) -> None:
    """Make the output folder ready, or say why it cannot be used."""
    resolved = dump_config(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / ".writable"):
            pass
        (folder / ".writable").unlink()
    except OSError as err:
        raise InputError(
            f"expected a folder to write results to, but {folder} cannot be written: "
            f"{err.strerror}. Choose another with --out."
        ) from err
    previous = folder / "config.yaml"
    if fresh:
        (folder / "state.json").unlink(missing_ok=True)
    elif previous.is_file() and previous.read_text(encoding="utf-8") != resolved:
        raise InputError(
            f"{folder} holds a run of another configuration ({_differences(previous, config)}). "
            "Choose another folder with --out, or replace that run with --fresh."
        )
    elif not previous.is_file() and (folder / "results.csv").exists():
        raise InputError(
            f"{folder} holds a results.csv that no run of rsa-faces left there. "
            "Choose another folder with --out."
        )
    write_text(previous, resolved)


def _differences(previous: Path, config: Config) -> str:
    """Name the keys in which two configurations differ."""
    try:
        old = load_config(previous)
    except InputError:
        return "one this version cannot read"
    keys = [k for k in type(config).model_fields if getattr(old, k) != getattr(config, k)]
    return f"differs in {', '.join(keys)}"


def _check_defined(rdms: RDMs, network: str) -> None:
    """Raise if a layer's RDM has undefined pairs, naming layer and stimuli."""
    undefined = np.isnan(rdms.vectors)
    if not undefined.any():
        return
    row = int(np.argmax(undefined.any(axis=1)))
    matrix = np.isnan(rdms[row].matrices()[0])
    bad = [c for c, n in zip(rdms.conditions, matrix.sum(axis=1), strict=True) if n > 1]
    shown = ", ".join(map(repr, bad[:5])) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    raise InputError(
        f"expected patterns that vary over channels, but layer {rdms.labels['layer'][row]!r} of "
        f"{network} is constant for {shown or 'a condition'}: `{rdms.measure}` is undefined there. "
        "Leave the layer or these stimuli out, or use the measure euclidean."
    )


@contextlib.contextmanager
def _patterns_named() -> Iterator[None]:
    """Silence the warning about constant patterns: the run raises an error of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def write_json(path: Path, content: dict) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
