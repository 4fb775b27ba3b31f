"""EmoNet: a face alignment network whose maps, where landmarks are, tell the expression."""

from __future__ import annotations

from rsa_faces.networks._late import F, Module, nn, torch
from rsa_faces.networks._spec import FORMS, OWN_FILE, NetworkSpec, Preprocessing

SPECS = (
    NetworkSpec(
        name="emonet",
        crop="box",
        crop_source="assumed: the face fills the image, as in its authors' loader of AffectNet",
        task="expression",
        architecture="two hourglasses (landmarks), then four residual blocks on their maps",
        training_set="AffectNet, eight expressions, valence and arousal; landmarks on 300-W",
        licence="CC BY-NC-ND 4.0 (the authors' code and weights)",
        origin=OWN_FILE,
        citation=(
            "Toisoul A., Kossaifi J., Bulat A., Tzimiropoulos G., Pantic M. (2021), Nat Mach "
            "Intell 3:42, doi:10.1038/s42256-020-00280-0"
        ),
        preprocessing=Preprocessing(
            size=256, fit="stretch", channels="RGB", mean=(0.0,) * 3, std=(255.0,) * 3
        ),
        builder="build",
        layers=(
            *("conv1", "conv2", "conv3", "conv4", "m0", "m1", "conv1x1_input_emo_2"),
            *(f"emo_net_2.{i}" for i in range(0, 8, 2)),
            *("avg_pool_2", "emo_fc_2.2", "emo_fc_2.3"),
        ),
        outputs=(
            *("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"),
            *("valence", "arousal"),
        ),
        weights_help=(
            "Get 'emonet_8.pth' (https://github.com/face-analysis/emonet, folder pretrained), "
            f"{FORMS}."
        ),
    ),
)


class ConvBlock(Module):
    """Three convolutions, each of the last one's output; all three joined, added to a shortcut."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        sizes = (n_in, n_out // 2, n_out // 4, n_out // 4)
        for i in range(1, 4):
            self.add_module(f"bn{i}", nn.BatchNorm2d(sizes[i - 1]))
            conv = nn.Conv2d(sizes[i - 1], sizes[i], 3, padding=1, bias=False)
            self.add_module(f"conv{i}", conv)
        self.downsample = None
        if n_in != n_out:
            self.downsample = nn.Sequential(
                nn.BatchNorm2d(n_in), nn.ReLU(), nn.Conv2d(n_in, n_out, 1, bias=False)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        parts, last = [], x
        for i in range(1, 4):
            last = getattr(self, f"conv{i}")(F.relu(getattr(self, f"bn{i}")(last)))
            parts.append(last)
        return torch.cat(parts, 1) + (x if self.downsample is None else self.downsample(x))


class HourGlass(Module):
    """A map, and the same at half the size (which is an hourglass again) drawn large, added."""

    def __init__(self, depth: int, n: int) -> None:
        super().__init__()
        self.depth = depth
        for level in range(depth, 0, -1):
            names = ("b1_", "b2_", "b3_") if level > 1 else ("b1_", "b2_", "b2_plus_", "b3_")
            for name in names:
                self.add_module(f"{name}{level}", ConvBlock(n, n))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        return self._added(x, self.depth)

    def _added(self, x: torch.Tensor, level: int) -> torch.Tensor:
        """Return the sum at a level."""
        low = getattr(self, f"b2_{level}")(F.max_pool2d(x, 2))
        smallest = self.get_submodule("b2_plus_1")
        low = self._added(low, level - 1) if level > 1 else smallest(low)
        low = getattr(self, f"b3_{level}")(low)
        return getattr(self, f"b1_{level}")(x) + F.interpolate(low, scale_factor=2)


class EmoNet(Module):
    """EmoNet: 256 px in, eight expressions (before softmax), valence and arousal out.

    Parameters
    ----------
    n : int, default 256
        Channels of an hourglass.
    """

    def __init__(self, n: int = 256) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, n // 4, 7, 2, padding=3)
        self.bn1 = nn.BatchNorm2d(n // 4)
        self.conv2 = ConvBlock(n // 4, n // 2)
        self.conv3 = ConvBlock(n // 2, n // 2)
        self.conv4 = ConvBlock(n // 2, n)
        for i in range(2):
            self.add_module(f"m{i}", HourGlass(4, n))
            self.add_module(f"top_m_{i}", ConvBlock(n, n))
            self.add_module(f"conv_last{i}", nn.Conv2d(n, n, 1))
            self.add_module(f"bn_end{i}", nn.BatchNorm2d(n))
            self.add_module(f"l{i}", nn.Conv2d(n, 68, 1))
        self.bl0 = nn.Conv2d(n, n, 1)
        self.al0 = nn.Conv2d(68, n, 1)
        self.conv1x1_input_emo_2 = nn.Conv2d(3 * n, n, 1)
        blocks = (block for _ in range(4) for block in (ConvBlock(n, n), nn.MaxPool2d(2, 2)))
        self.emo_net_2 = nn.Sequential(*blocks)
        self.avg_pool_2 = nn.AvgPool2d(4)
        self.emo_fc_2 = nn.Sequential(
            nn.Linear(n, n // 2), nn.BatchNorm1d(n // 2), nn.ReLU(), nn.Linear(n // 2, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, 256, 256), from 0 to 1, to (n, 10)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.conv4(self.conv3(F.max_pool2d(self.conv2(x), 2)))
        first, places = self._landmarks(0, x)
        first = self.bl0(first)
        last, places = self._landmarks(1, x + first + self.al0(places))
        # Maps of landmarks say where to look: their sum weights what is seen.
        seen = torch.cat((first, last), 1) * places.sum(1, keepdim=True)
        x = self.emo_net_2(self.conv1x1_input_emo_2(torch.cat((x, seen), 1)))
        return self.emo_fc_2(self.avg_pool_2(x).flatten(1))

    def _landmarks(self, i: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the maps of an hourglass, and those of the landmarks."""
        x = getattr(self, f"top_m_{i}")(getattr(self, f"m{i}")(x))
        x = F.relu(getattr(self, f"bn_end{i}")(getattr(self, f"conv_last{i}")(x)))
        return x, getattr(self, f"l{i}")(x)


build = EmoNet
