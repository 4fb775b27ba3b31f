"""`rsa-faces extract`, `rdm`, `faces` and `import`: from files to activations and RDMs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsa_faces._core.errors import InputError
from rsa_faces.cli._console import app, guarded, out, say, tell

if TYPE_CHECKING:
    from rsa_faces.networks import Network
    from rsa_faces.rdm import RDMs

Images = Annotated[Path, typer.Argument(help="A folder of images, or of clips with --rate.")]
NetworkName = Annotated[
    str, typer.Option("--network", help="A network's name; `rsa-faces networks list` shows them.")
]
Weights = Annotated[
    Path | None, typer.Option(help="A weight file, for networks whose weights do not ship.")
]
Layers = Annotated[
    list[str] | None,
    typer.Option(help="Layer names or globs, e.g. 'layer4.*'; repeat. Default: all a paper shows."),
]
Manifest = Annotated[
    Path | None, typer.Option(help="A CSV file with the columns file and id; the rest: metadata.")
]
Reduce = Annotated[
    str | None,
    typer.Option(help="mean, 'class token', or a number k: a random projection onto k numbers."),
]
Budget = Annotated[str, typer.Option(help="Memory for activations, e.g. 4GB.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1: where the network runs.")]
Precision = Annotated[
    str, typer.Option(help="float32; tf32 and bfloat16 are faster on GPUs, and less exact.")
]
Crop = Annotated[
    bool | None,
    typer.Option(
        "--crop-faces/--whole",
        help="Cut faces out as the network was trained to see them, or show whole images. Default: "
        "cut where the network was trained so and every image has a face to cut.",
        show_default=False,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option("--crop-margin", help="Margin around the face. Default: the network's own."),
]


@app.command()
@guarded
def extract(
    images: Images,
    network: NetworkName,
    store: Annotated[
        Path, typer.Option(help="The folder to keep activations in, of all networks and images.")
    ],
    weights: Weights = None,
    layers: Layers = None,
    manifest: Manifest = None,
    crop: Crop = None,
    margin: Margin = None,
    reduce: Reduce = None,
    dtype: Annotated[
        str, typer.Option(help="How values are kept: float32, float16 or bfloat16.")
    ] = "float32",
    precision: Precision = "float32",
    budget: Budget = "4GB",
    device: Device = "auto",
) -> None:
    """Keep what the layers of a network answer to each image.

    What is in the store for an image, of the same weights, preprocessing and code, is not computed
    again, whichever run computed it. In Python: `rf.load_activations(STORE)`. `rsa-faces store`
    lists what is there, and prunes it.
    """
    import rsa_faces as rf

    opened = _opened(network, weights, device)
    stimuli = _cropped(rf.load_stimuli(images, manifest=manifest), opened, crop, margin)
    activations = rf.extract(
        opened,
        stimuli,
        layers=layers or "all",
        store=store,
        budget=budget,
        reduce=_reduce(reduce),
        dtype=dtype,
        precision=precision,
    )
    size = sum(file.stat().st_size for file in store.glob("*.part")) / 1e6
    tell(
        f"Wrote {store}: {len(activations)} layers of {network}, {len(stimuli)} images; the store "
        f"has {size:.1f} MB"
    )


@app.command()
@guarded
def rdm(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder of images (of clips with --rate), or a store of `extract` (of several "
            "extractions in it, the file .list of one)."
        ),
    ],
    target: Annotated[Path, typer.Option("--out", help="The RDM file to write, .h5 or .csv.")],
    network: Annotated[
        str | None, typer.Option("--network", help="A network's name; not for a store.")
    ] = None,
    weights: Weights = None,
    layers: Layers = None,
    measure: Annotated[
        str, typer.Option(help="correlation, cosine, euclidean, sqeuclidean or poisson.")
    ] = "correlation",
    manifest: Manifest = None,
    crop: Crop = None,
    margin: Margin = None,
    rate: Annotated[
        float | None, typer.Option(help="The folder holds clips: take so many frames a second.")
    ] = None,
    average: Annotated[
        str, typer.Option(help="Of clips: average the patterns of their frames, or the rdms.")
    ] = "patterns",
    shortest: Annotated[
        bool, typer.Option("--shortest", help="Of clips, for rdms: cut all to the shortest.")
    ] = False,
    store: Annotated[
        Path | None, typer.Option(help="A folder to keep activations in, as for `extract`.")
    ] = None,
    reduce: Reduce = None,
    precision: Precision = "float32",
    budget: Budget = "4GB",
    device: Device = "auto",
) -> None:
    """Write the RDM of each layer of a network, without keeping its activations."""
    import rsa_faces as rf
    from rsa_faces.extraction._store import is_store

    if source.is_file() or is_store(source):
        if network is not None:
            raise InputError(f"{source} is a store of `extract`; leave --network out.")
        activations = rf.load_activations(source)
        if layers:
            raise InputError("a store's RDMs are made of all its layers; leave --layers out.")
        rdms = rf.compute_rdms(activations, measure=measure)
    else:
        if network is None:
            raise InputError("expected --network NAME for a folder of images.")
        opened = _opened(network, weights, device)
        options: dict[str, Any] = {
            "layers": layers or "all",
            "measure": measure,
            "store": store,
            "budget": budget,
            "reduce": _reduce(reduce),
            "precision": precision,
        }
        if rate is not None:
            options |= {"rate": rate, "average": average, "shortest": shortest}
            clips = _cropped(rf.load_clips(source, manifest=manifest), opened, crop, margin)
            rdms = rf.clip_rdms(opened, clips, **options)
        else:
            stimuli = _cropped(rf.load_stimuli(source, manifest=manifest), opened, crop, margin)
            rdms = rf.layer_rdms(opened, stimuli, **options)
    _save(rdms, target)


@app.command()
@guarded
def faces(
    images: Annotated[Path, typer.Argument(help="A folder of photographs.")],
    manifest: Manifest = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="Write what was found in each image, a CSV.")
    ] = None,
    crops: Annotated[
        Path | None, typer.Option("--crops", help="Write the faces, cut out, into this folder.")
    ] = None,
    template: Annotated[
        str, typer.Option(help="How faces are cut: arcface, dlib, box, or a network's name.")
    ] = "arcface",
    margin: Margin = None,
    size: Annotated[int | None, typer.Option(help="Side of the crops in pixels.")] = None,
    min_score: Annotated[float, typer.Option(help="What counts as a face, 0 to 1.")] = 0.6,
    min_size: Annotated[int, typer.Option(help="The smallest height of a face, in pixels.")] = 20,
    several: Annotated[
        str, typer.Option(help="Of several faces take the largest, central, or refuse.")
    ] = "largest",
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Go on without the images that have no face.")
    ] = False,
) -> None:
    """Find the face in each photograph; cut faces out as networks were trained to see them."""
    import rsa_faces as rf
    from rsa_faces._core.tables import write_table
    from rsa_faces.networks import NETWORKS
    from rsa_faces.stimuli.images import write_images

    stimuli = rf.load_stimuli(images, manifest=manifest)
    found = rf.detect_faces(stimuli, min_score=min_score, min_size=min_size, several=several)
    n = int(found.table["found"].sum())
    out.print(f"{n} of {len(stimuli)} images have a face.")
    for name in found.missing:
        say("none", f"{name}: {found.table.at[name, 'reason']}", style="yellow")
    if table is not None:
        write_table(found.table.rename_axis("id").reset_index(), table)
        tell(f"Wrote {table}")
    if crops is not None:
        options = {"template": template, "margin": margin}
        if template in NETWORKS:
            options = _crop_options(NETWORKS[template], margin)
        cut = rf.crop_faces(
            stimuli,
            found,
            **options,
            size=size,
            missing="leave-out" if leave_out else "refuse",
        )
        write_images(cut, crops)
        tell(f"Wrote {len(cut)} faces to {crops}")


@app.command("import")
@guarded
def import_(
    path: Annotated[Path, typer.Argument(help="The file or folder that another tool wrote.")],
    target: Annotated[Path, typer.Option("--out", help="The RDM file to write, .h5 or .csv.")],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="rsatoolbox, net2brain, npy, table; of features thingsvision, "
            "net2brain-features, rsatoolbox-features, npy-features. Default: by the content.",
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--conditions",
            help="A text file with the condition of each row, where the file holds none.",
        ),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            help="Of RDMs: how they were made, where the file does not say it. Of features: how "
            "RDMs are made of them (default correlation)."
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME[=VALUE]",
            help="A label of the RDMs, e.g. subject=07, or subject=01,02,03 for three; the name "
            "alone numbers them (of one RDM: the name of the file). Repeat.",
        ),
    ] = None,
) -> None:
    """Read RDMs or features of another tool, and write RDMs; rows go by name, never by order.

    Example: `rsa-faces import ffa.npy --conditions names.txt --label subject --out FFA.h5`
    """
    from rsa_faces._core.checks import check_choice
    from rsa_faces.io import read_features, read_rdms
    from rsa_faces.io._formats import FEATURE_FORMATS, RDM_FORMATS, recognise
    from rsa_faces.rdm import compute_rdms

    kinds = {name: ("features", name) for name in FEATURE_FORMATS}
    kinds |= {f"{name}-features": ("features", name) for name in FEATURE_FORMATS}
    kinds |= {name: ("rdms", name) for name in RDM_FORMATS}
    if format_ is None:
        kind, format_ = recognise(path)
    else:
        kind, format_ = kinds[check_choice(format_, kinds, what="--format")]
    given = dict(_label(text) for text in labels or [])
    if kind == "rdms":
        rdms = read_rdms(
            path, format=format_, conditions=names, measure=measure, label=given or None
        )
    else:
        features = read_features(path, format=format_, conditions=names)
        rdms = compute_rdms(features, measure=measure or "correlation")
        rdms = rdms.with_labels(**{k: path.stem if v is None else v for k, v in given.items()})
    _save(rdms, target)


def _label(text: str) -> tuple[str, str | list[str] | None]:
    """Return the name and the value of a label as `--label` gives it."""
    name, equals, value = text.partition("=")
    if not name:
        raise InputError(f"expected --label NAME or NAME=VALUE, got {text!r}.")
    if not equals:
        return name, None
    return name, value.split(",") if "," in value else value


def _reduce(value: str | None) -> str | int | None:
    """Return a number as a number."""
    return int(value) if value is not None and value.isdigit() else value


def _opened(name: str, weights: Path | None, device: str) -> Network:
    """Open a network; say whether a weight file of the user makes it see what it should."""
    from rsa_faces.networks._check import check_file
    from rsa_faces.networks._load import open_network

    network = open_network(name, weights=weights, device=device)
    if weights is not None:
        found = check_file(name, weights, device=device)
        say("note", found.sentence, style="yellow" if found.good is False else "green")
    return network


def _crop_options(spec, margin: float | None) -> dict:
    """Return how faces are cut for a network."""
    if not spec.crop:
        raise InputError(
            f"{spec.name!r} was not trained on faces cut out of photographs; name a template: "
            "arcface, dlib or box."
        )
    return spec.crop_options | ({} if margin is None else {"margin": margin})


def _cropped(stimuli, network: Network, crop: bool | None, margin: float | None):
    """Return the stimuli as the network is shown them, and say what was decided."""
    from rsa_faces.stimuli import crop_faces, detect_faces
    from rsa_faces.stimuli.clips import ClipSet, crop_clips, first_frames
    from rsa_faces.stimuli.crops import find_to_cut

    if crop is False or (crop is None and not network.spec.crop):
        return stimuli
    clips = isinstance(stimuli, ClipSet)
    images = first_frames(stimuli) if clips else stimuli
    options = _crop_options(network.spec, margin)
    faces, reason = (detect_faces(images), "") if crop else find_to_cut(images)
    if reason or faces is None:
        say(
            "note",
            f"whole images are shown to {network.name}, trained on cut-out faces: {reason}.",
            style="yellow",
        )
        return stimuli
    if crop is None:
        say("note", f"faces are cut out for {network.name}, as in its training.", style="yellow")
    cut = crop_faces(images, faces, **options)  # says which have no face
    return crop_clips(stimuli, **options) if clips else cut


def _save(rdms: RDMs, target: Path) -> None:
    """Write RDMs, as HDF5 or as a table."""
    from rsa_faces._core.tables import write_table

    if target.suffix == ".csv":
        write_table(rdms.to_frame().assign(measure=rdms.measure), target)
    else:
        rdms.save(target)
    tell(f"{rdms!r}")
    tell(f"Wrote {target}")
