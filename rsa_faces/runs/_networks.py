"""Networks of a run: what they are shown, their layers, and the RDMs of these."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rsa_faces import datasets
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import file_names
from rsa_faces.extraction import select_layers
from rsa_faces.networks import Network, get_spec
from rsa_faces.networks._check import check_file
from rsa_faces.networks._load import open_network
from rsa_faces.rdm import RDMs, clip_rdms, layer_rdms, load_rdms
from rsa_faces.runs._entries import NetworkConfig, StimuliConfig
from rsa_faces.runs._job import Job
from rsa_faces.stimuli import (
    FaceTable,
    StimulusSet,
    crop_faces,
    crop_landmarks,
    detect_faces,
    load_stimuli,
)
from rsa_faces.stimuli.clips import ClipSet, crop_clips, first_frames, load_clips
from rsa_faces.stimuli.crops import find_to_cut

if TYPE_CHECKING:
    from rsa_faces.runs._run import Run


def read_stimuli(source: StimuliConfig) -> StimulusSet | ClipSet:
    """Return the images, or clips, of a configuration."""
    if source.folder is not None:
        return load_stimuli(source.folder, manifest=source.manifest)
    if source.clips is not None:
        return load_clips(source.clips, manifest=source.manifest)
    return datasets.load_dataset(str(source.dataset)).images()


def read_images(source: StimuliConfig, command: str) -> StimulusSet:
    """Return the images of a configuration; clips are an error."""
    stimuli = read_stimuli(source)
    if isinstance(stimuli, ClipSet):
        raise InputError(
            f"expected images in `stimuli` (a `folder` or a `dataset` of them), got clips, which "
            f"`rsa-faces {command}` cannot take; `rsa-faces compare` and `searchlight` can."
        )
    return stimuli


class Crop(NamedTuple):
    """How faces are cut out, as :func:`rsa_faces.crop_faces` takes it."""

    template: str
    margin: float


@dataclass(eq=False)
class Networks:
    """The networks of a run and the stimuli as each is shown them.

    Parameters
    ----------
    entries : sequence of NetworkConfig
    stimuli : StimulusSet, ClipSet or None
        None without entries.
    device : str
    seed : int
    known : Path, optional
        Table of faces that an earlier run may have left.
    rate : float, optional
        Frames per second of clips.

    Attributes
    ----------
    notes : tuple of str
        Who is shown what, where it was decided here.
    """

    entries: Sequence[NetworkConfig]
    stimuli: Any
    device: str
    seed: int
    known: Path | None = None
    rate: float | None = None
    notes: list[str] = field(default_factory=list, init=False)
    _crops: dict[Crop, Any] = field(default_factory=dict, init=False)

    def check(self) -> None:
        """Raise now if layers are unknown, weights missing, or faces that are asked for."""
        for entry in self.entries:
            self.layers[entry.name], self.weights[entry.name], self.crops[entry.name], self.verdicts

    @cached_property
    def verdicts(self) -> Mapping[str, str]:
        """Whether networks with weight files of the user see what they should; notes say if not."""
        found = {
            entry.name: check_file(entry.name, entry.weights, device=self.device)
            for entry in self.entries
            if entry.weights is not None
        }
        for verdict in found.values():
            self.notes += verdict.notes
        return {name: verdict.sentence for name, verdict in found.items()}

    def load(self, name: str) -> Network:
        """Return a network, with the weights that its entry names."""
        return open_network(name, **self.opening(name))

    def opening(self, name: str) -> dict:
        """Return how a network is opened."""
        return {"device": self.device, "weights": self._entry(name).weights, "seed": self.seed}

    def _entry(self, name: str) -> NetworkConfig:
        """Return a network's entry."""
        return next(entry for entry in self.entries if entry.name == name)

    @cached_property
    def layers(self) -> Mapping[str, list[str]]:
        """Layers of each network; unknown layers and missing weights are errors."""
        return {e.name: select_layers(self.load(e.name), e.layers) for e in self.entries}

    @cached_property
    def weights(self) -> Mapping[str, str]:
        """SHA-256 of each network's weights."""
        return {entry.name: self.load(entry.name).weights_sha256 for entry in self.entries}

    @cached_property
    def _found(self) -> tuple[FaceTable | None, str]:
        """The face of each image, and why images are left whole by ``auto``."""
        known = self._known_faces
        if any(entry.crop_faces is True for entry in self.entries):
            known = known or detect_faces(self._looked_at, progress=False)
        if any(e.crop_faces == "auto" and get_spec(e.name).crop for e in self.entries):
            return find_to_cut(self._looked_at, known=known)
        return known, ""

    @cached_property
    def _looked_at(self) -> StimulusSet:
        """Images in which faces are looked for: of clips their first frames."""
        clips = isinstance(self.stimuli, ClipSet)
        return first_frames(self.stimuli) if clips else self.stimuli

    @property
    def faces(self) -> FaceTable | None:
        """The face of each image; None where no network wants it cut out, or it cannot be."""
        return self._found[0]

    @property
    def _sure_faces(self) -> FaceTable:
        """The face of each image, where some are cut out."""
        if self.faces is None:
            raise InputError("expected faces that are cut out, but none were looked for.")
        return self.faces

    @cached_property
    def _known_faces(self) -> FaceTable | None:
        """The faces that an earlier run of the folder found in the same images."""
        if self.known is None or not self.known.is_file():
            return None
        try:
            faces = FaceTable.load(self.known)
        except InputError:
            return None
        same = dict(zip(self._looked_at.ids, self._looked_at.sha256, strict=True))
        return faces if faces.table["sha256"].to_dict() == same else None

    @cached_property
    def crops(self) -> Mapping[str, Crop | None]:
        """How faces are cut out for each network; None where it is shown whole images.

        ``crop_faces: auto`` cuts faces out for networks that were trained on cut-out faces, where
        every image has one and is not one already.
        """
        chosen: dict[str, Crop | None] = {}
        whole = []
        for entry in self.entries:
            own = get_spec(entry.name).crop
            # Networks that were not trained on faces are shown the box.
            options: dict[str, Any] = get_spec(entry.name).crop_options
            if entry.crop_margin is not None:
                options["margin"] = entry.crop_margin
            if entry.crop_faces is True:
                chosen[entry.name] = Crop(**options)
                crop_faces(self._looked_at, self._sure_faces)  # says which have no face
            elif entry.crop_faces == "auto" and own and not self._found[1]:
                chosen[entry.name] = Crop(**options)
            else:
                chosen[entry.name] = None
                if own and entry.crop_faces == "auto":
                    whole.append(entry.name)
        automatic = [e.name for e in self.entries if e.crop_faces == "auto" and chosen[e.name]]
        if automatic:
            self.notes.append(
                f"faces were cut out for {', '.join(automatic)}, as in their training "
                "(crop_faces: auto)."
            )
        if whole:
            self.notes.append(
                f"whole images were shown to {', '.join(whole)}, trained on cut-out faces: "
                f"{self._found[1]} (crop_faces: auto)."
            )
        return chosen

    def shown(self, name: str, versions: StimulusSet | None = None) -> Any:
        """Return the stimuli as a network is shown them; `versions`: other images of the same."""
        crop = self.crops[name]
        if versions is not None:
            if crop is None:
                return versions
            found = self._sure_faces
            # At the place where faces are in the images as they are.
            hashes = dict(zip(versions.ids, versions.sha256, strict=True))
            table = found.table.assign(sha256=found.table.index.map(hashes))
            faces = replace(found, table=table)
            return crop_faces(versions, faces, **crop._asdict())
        if crop is None:
            return self.stimuli
        if crop not in self._crops:
            if isinstance(self.stimuli, ClipSet):
                # With the faces that were found for another crop: to find them takes longest.
                earlier = next(iter(self._crops.values()), self.stimuli)
                self._crops[crop] = crop_clips(earlier, **crop._asdict())
            else:
                self._crops[crop] = crop_faces(self.stimuli, self._sure_faces, **crop._asdict())
        return self._crops[crop]

    def placed(self, name: str, landmarks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return landmarks of the images in pixels of what a network is shown."""
        crop = self.crops[name]
        if crop is None:
            return dict(landmarks)
        return crop_landmarks(landmarks, self._sure_faces, **crop._asdict())

    def key(self, name: str) -> list[str]:
        """Return all that a network's answers depend on."""
        entry = self._entry(name)
        return [
            name,
            self.weights[name],
            repr(get_spec(name).preprocessing),
            self.shown(name).hash,
            repr((entry.reduce, self.seed, *([] if self.rate is None else [self.rate]))),
            *self.layers[name],
        ]

    def write_faces(self, folder: Path) -> None:
        """Write the table of faces, where any are cut out."""
        if any(self.crops.values()):
            self._sure_faces.save(folder / "faces.csv")


def networks_of(run: Run, stimuli: StimulusSet | ClipSet | None) -> Networks:
    """Return the networks of a run, checked; notes and hashes of what they are go to the run."""
    config = run.config
    networks = Networks(
        config.networks,
        stimuli,
        run.device,
        config.seed,
        known=run.folder / "faces.csv",
        rate=None if config.stimuli is None else config.stimuli.rate,
    )
    networks.check()
    run.notes += networks.notes
    run.hashes |= {
        "stimuli_sha256": None if stimuli is None else stimuli.hash,
        "weights_sha256": dict(networks.weights),
        "network_checks": dict(networks.verdicts),
        "crops": {name: crop and crop._asdict() for name, crop in networks.crops.items()},
    }
    return networks


def network_rdms(run: Run, networks: Networks, measure: str) -> list[RDMs]:
    """Return the RDMs of each network's layers, from disk where they are done."""
    networks.write_faces(run.folder)
    jobs = network_jobs(run, networks, measure)
    run.do(jobs)
    return [load_rdms(run.folder / job.files[0]) for job in jobs]


def network_jobs(run: Run, networks: Networks, measure: str) -> list[Job]:
    """Return the steps that make the RDMs of each network's layers."""
    jobs = []
    stems = file_names(entry.name for entry in networks.entries)
    for entry in networks.entries:
        path = f"rdms/{stems[entry.name]}.h5"
        options = {
            **({"rate": networks.rate} if isinstance(networks.stimuli, ClipSet) else {}),
            "reduce": entry.reduce,
            "seed": run.config.seed,
            "layers": networks.layers[entry.name],
            "measure": measure,
            "store": run.config.store,
            "budget": run.config.budget,
            "progress": False,
        }
        jobs.append(
            Job(
                f"layers of {entry.name}",
                f"rdms {entry.name}",
                [*networks.key(entry.name), measure],
                [path],
                _make_rdms,
                (
                    entry.name,
                    networks.opening(entry.name),
                    networks.shown(entry.name),
                    options,
                    run.folder / path,
                ),
            )
        )
    return jobs


def _make_rdms(
    name: str, opening: dict, stimuli: StimulusSet | ClipSet, options: dict, path: Path
) -> None:
    """Write one network's layer RDMs. May run on another machine."""
    network = open_network(name, **opening)
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        # Of constant patterns: an error of its own follows.
        rdms = (
            clip_rdms(network, stimuli, **options)
            if isinstance(stimuli, ClipSet)
            else layer_rdms(network, stimuli, **options)
        )
    _check_defined(rdms, name)
    rdms.save(path)


def _check_defined(rdms: RDMs, network: str) -> None:
    """Raise if a layer's RDM has undefined pairs, naming layer and stimuli."""
    undefined = np.isnan(rdms.vectors)
    if not undefined.any():
        return
    row = int(np.argmax(undefined.any(axis=1)))
    matrix = np.isnan(rdms[row].matrices()[0])
    # Undefined with one other alone, it is that other that is at fault.
    bad = [c for c, n in zip(rdms.conditions, matrix.sum(axis=1), strict=True) if n > 1]
    listed = ", ".join(map(repr, bad[:5])) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    raise InputError(
        f"expected patterns that vary over channels, but layer {rdms.labels['layer'][row]!r} of "
        f"{network} is constant for {listed or 'a condition'}: `{rdms.measure}` is undefined "
        "there. Leave the layer or these stimuli out, or use the measure euclidean."
    )
