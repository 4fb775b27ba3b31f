"""Networks of timm and torchvision by their own names, with their own preprocessing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rsa_faces._core.checks import nearest
from rsa_faces._core.errors import InputError
from rsa_faces._core.optional import require
from rsa_faces.networks._preprocess import FILTERS
from rsa_faces.networks._spec import NetworkSpec, Preprocessing
from rsa_faces.networks._weights import fill

if TYPE_CHECKING:
    from torch import nn

_CITATION = {
    "timm": "Wightman R. (2019), PyTorch Image Models, doi:10.5281/zenodo.4414861",
    "torchvision": "TorchVision maintainers (2016), TorchVision",
}


def describe(library: str, model: str) -> NetworkSpec:
    """Return the spec of a library's network, read from its configuration."""
    preprocessing, licence = _DESCRIBE[library](model)
    return NetworkSpec(
        name=f"{library}:{model}",
        task="see the library's page",
        architecture=model,
        training_set="see the library's page",
        licence=licence,
        origin=f"{library} {metadata.version(library)}",
        citation=_CITATION[library],
        preprocessing=preprocessing,
        builder="",
    )


def build(library: str, model: str, *, from_hub: bool) -> nn.Module:
    """Return a library's module, with the hub's weights or with none."""
    _DESCRIBE[library](model)
    if not from_hub:
        return _create(library, model, pretrained=False)
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # hubs tell every retry
    try:
        return _create(library, model, pretrained=True)
    # Hubs fail in many ways (no network, no such file, a proxy's page): each means no weights.
    except Exception as err:
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise InputError(
            f"the pretrained weights of '{library}:{model}' could not be fetched from its hub "
            f"({reason}). Give a file: load_network('{library}:{model}', weights=PATH); or use "
            f"'untrained:{library}:{model}'."
        ) from err
    finally:
        logging.disable(disabled)


def build_from(library: str, model: str, state: Mapping[str, Any], *, source: str) -> nn.Module:
    """Return a library's module with the weights of a file, and as many outputs as that has.

    The last layer may have another number of outputs than published, or be left out.
    """
    import torch

    _DESCRIBE[library](model)
    # Only names and sizes are wanted: the meta device holds no weights.
    with torch.device("meta"):
        published = _create(library, model, pretrained=False)
    if library == "timm" and not set(state) & set(published.state_dict()):
        # Files of the authors whom timm's networks are from: CLIP, DINOv2, ConvNeXt.
        convert: Any = getattr(
            sys.modules[type(published).__module__], "checkpoint_filter_fn", None
        )
        state = state if convert is None else convert(dict(state), published)
    head = _head(library, published)
    last = state.get(f"{head}.weight")
    n_outputs = {} if last is None else {"num_classes": len(last)}
    if last is None and library == "timm":
        # A file without a head: with no classes timm makes none.
        n_outputs = {"num_classes": 0}
    module = _create(library, model, pretrained=False, **n_outputs)
    if last is None and library == "torchvision":
        parent, _, name = head.rpartition(".")
        setattr(module.get_submodule(parent), name, torch.nn.Identity())
    fill(module, dict(state), source=source)
    return module


def _head(library: str, module: nn.Module) -> str:
    """Return the name of the layer that gives a network's outputs."""
    if library == "timm":
        config: Any = module.pretrained_cfg
        found = config.get("classifier")
        return str(found if isinstance(found, str) or not found else found[0])
    weights = [name for name, p in module.named_parameters() if p.ndim > 1]
    return weights[-1].removesuffix(".weight")


def _create(library: str, model: str, *, pretrained: bool, **options: Any) -> nn.Module:
    """Call the library's own constructor."""
    if library == "timm":
        return _opened("timm").create_model(model, pretrained=pretrained, **options)
    weights = "DEFAULT" if pretrained else None
    return _opened("torchvision").models.get_model(model, weights=weights, **options)


def _opened(library: str) -> ModuleType:
    """Import the library, or say how it is installed."""
    return require(library, purpose=f"A network of {library}")


def _timm(model: str) -> tuple[Preprocessing, str]:
    """Read the input of a timm network from its pretrained configuration."""
    timm = _opened("timm")
    from timm.data import resolve_data_config

    if not timm.is_model(model):
        options = [*timm.list_models(), *timm.list_pretrained()]
        raise InputError(f"timm has no network {model!r}.{nearest(model, options)}")
    try:
        config = timm.get_pretrained_cfg(model)
    except RuntimeError as err:
        tags = timm.list_pretrained(model.split(".")[0] + ".*")
        raise InputError(f"timm has no weights {model!r}. Valid: {', '.join(tags)}.") from err
    if config is None:
        raise InputError(f"timm describes no input for {model!r}: choose another variant.")
    data = resolve_data_config(pretrained_cfg=config.to_dict())
    _, height, width = data["input_size"]
    fits = {"center": "crop", "squash": "stretch", "border": "pad"}
    if data["crop_mode"] not in fits or data["interpolation"] not in FILTERS or height != width:
        raise InputError(f"timm:{model} has preprocessing that is not supported: {data}.")
    fit = fits[data["crop_mode"]]
    return Preprocessing(
        size=height,
        fit=fit,
        channels="RGB",
        mean=tuple(255 * m for m in data["mean"]),
        std=tuple(255 * s for s in data["std"]),
        interpolation=data["interpolation"],
        resize_to=int(height / data["crop_pct"]) if fit == "crop" else None,
    ), config.license or "see the library's page"


def _torchvision(model: str) -> tuple[Preprocessing, str]:
    """Read the input of a torchvision network from the transforms of its default weights."""
    torchvision = _opened("torchvision")
    options = torchvision.models.list_models(module=torchvision.models)
    if model not in options:
        raise InputError(f"torchvision has no image network {model!r}.{nearest(model, options)}")
    transforms = torchvision.models.get_model_weights(model).DEFAULT.transforms()
    return Preprocessing(
        size=transforms.crop_size[0],
        fit="crop",
        channels="RGB",
        mean=tuple(255 * m for m in transforms.mean),
        std=tuple(255 * s for s in transforms.std),
        interpolation=transforms.interpolation.value,
        resize_to=transforms.resize_size[0],
    ), "BSD-3-Clause (code); weights: see the library's page"


_DESCRIBE = {"timm": _timm, "torchvision": _torchvision}
