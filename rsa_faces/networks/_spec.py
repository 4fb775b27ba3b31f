"""What a network is, in plain data: needs no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

WEIGHTS_FOLDER = Path(__file__).parent / "weights"

# Words of many descriptions.
OWN_FILE = "a file of yours; see weights_help"
OWN_LICENCE = "as your file's"
FORMS = "as .pth, .pt or .safetensors"
# Where authors name no margin, and as other detectors give other boxes: of margins from -0.2 to 0.8
# that with the best mean over three sets (`scripts/verify_networks.py --crops --london FOLDER`).
MEASURED = "measured (London, simulated faces from the front and turned)"
VGGFACE2 = "Cao Q. et al. (2018), VGGFace2, FG, doi:10.1109/FG.2018.00020"
VGGFACE2_CROP = "Cao et al. (2018), VGGFace2: the detector's box extended by a factor 0.3"
SQUEEZE_EXCITE = "Hu J., Shen L., Sun G. (2018), CVPR, doi:10.1109/CVPR.2018.00745"
JIAHUI = "Jiahui G. et al. (2023), PNAS 120(44), doi:10.1073/pnas.2304085120"


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input: ``(pixels - mean) / std`` at one size.

    Parameters
    ----------
    size : int
        Height and width of the input, in pixels.
    fit : {"pad", "stretch", "crop"}
        What happens to other sizes and shapes. "pad": resize the longer side to `size`, centre on
        black. "stretch": resize both sides to `size`. "crop": resize the shorter side to
        `resize_to`, take the `size` by `size` centre.
    channels : {"RGB", "BGR", "L"}
        Order of the channels; "L" is one channel of luma (ITU-R 601), before resizing.
    mean, std : tuple of float
        Per channel, in the order of `channels`, in units of 0-255.
    interpolation : {"bilinear", "bicubic", "lanczos", "nearest"}
        Pillow's filter; it averages (antialiases) when it makes smaller, and rounds to 0-255.
    resize_to : int, optional
        The shorter side before the centre is cut out, for "crop".

    See Also
    --------
    NetworkSpec : A network's name, origin, licence, input and layers.
    rsa_faces.networks.get_spec : Describe a network without opening it.

    Examples
    --------
    >>> from rsa_faces.networks import get_spec
    >>> preprocessing = get_spec("mini-xception").preprocessing
    >>> preprocessing.size, preprocessing.channels
    (64, 'L')
    """

    size: int
    fit: str
    channels: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"
    resize_to: int | None = None

    def to_dict(self) -> dict:
        """Return the fields as plain data, for hashes and provenance."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


#: torchvision's usual input.
IMAGENET_INPUT = Preprocessing(
    size=224,
    fit="crop",
    resize_to=256,
    channels="RGB",
    mean=tuple(255 * m for m in (0.485, 0.456, 0.406)),
    std=tuple(255 * s for s in (0.229, 0.224, 0.225)),
)


def renamed(state: dict[str, Any], patterns: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a file's weights under other names: of patterns the first that fits a whole name."""

    def new_name(name: str) -> str:
        for pattern, new in patterns:
            if match := re.fullmatch(pattern, name):
                return new(match) if callable(new) else match.expand(new)
        return name

    return {new_name(name): tensor for name, tensor in state.items()}


@dataclass(frozen=True)
class NetworkSpec:
    """A network's name, origin, licence, input and layers.

    Parameters
    ----------
    name : str
        The name that :func:`rsa_faces.load_network` takes.
    task : str
        What it was trained for: "identity", "expression", "landmarks", "objects" or "none".
    architecture, training_set, licence, origin, citation : str
        For tables, figures and the methods paragraph. `origin` names the published package.
    preprocessing : Preprocessing
        How images become its input.
    builder : str
        The function of its family's file that returns the torch module, or "timm:name" for a
        network of timm; empty for networks of other libraries.
    layers : tuple of str
        Default analysis layers in order of computation; empty: chosen from the module's blocks.
    weights : str or None
        File in the package's weights folder; None where there is none to ship.
    sha256 : str or None
        SHA-256 of that file.
    outputs : tuple of str
        What the channels of the last layer stand for, where they stand for something.
    weights_help : str
        For networks whose weights cannot ship: what to get, where it is described.
    published : tuple of (str, str)
        Of files that cannot ship but are known: name, and SHA-256 or its beginning.
    any_outputs : str
        The layer whose number of outputs a weight file decides, for networks that users train
        themselves; empty: it is fixed.
    crop : str
        How photographs of whole scenes were cut to the face for it: a template of
        :func:`rsa_faces.crop_faces`; empty where it takes whole photographs.
    crop_margin : float
        The margin that goes with it, as :func:`rsa_faces.crop_faces` takes it.
    crop_source : str
        Where crop and margin are from: its authors' description, or what was measured.

    See Also
    --------
    rsa_faces.networks.get_spec : Describe a network without opening it.
    rsa_faces.networks.Network : A network with its preprocessing and its layers.
    Preprocessing : How an image becomes a network's input: ``(pixels - mean) / std`` at one size.

    Examples
    --------
    >>> from rsa_faces.networks import get_spec
    >>> spec = get_spec("sface")
    >>> spec.task, spec.preprocessing.size
    ('identity', 112)
    """

    name: str
    task: str
    architecture: str
    training_set: str
    licence: str
    origin: str
    citation: str
    preprocessing: Preprocessing
    builder: str
    layers: tuple[str, ...] = ()
    weights: str | None = None
    sha256: str | None = None
    outputs: tuple[str, ...] = ()
    weights_help: str = field(default="", repr=False)
    published: tuple[tuple[str, str], ...] = ()
    any_outputs: str = ""
    crop: str = ""
    crop_margin: float = 0.0
    crop_source: str = ""

    @property
    def crop_options(self) -> dict[str, Any]:
        """Template and margin, as keywords of :func:`rsa_faces.crop_faces`."""
        return {"template": self.crop or "box", "margin": self.crop_margin}

    @property
    def weights_from(self) -> str:
        """Where its weights are from: they "ship", "none", "your file" or a library's "hub"."""
        if self.bundled or self.origin == "rsa-faces":
            return "ship" if self.bundled else "none"
        return "your file" if self.weights_help else "hub"

    @property
    def bundled(self) -> bool:
        """True if the weights come with the package."""
        return self.weights is not None

    @property
    def weights_path(self) -> Path | None:
        """Where the bundled weights lie, or None."""
        return WEIGHTS_FOLDER / self.weights if self.weights else None
