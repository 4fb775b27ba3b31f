"""Video files to frames; the one module of the stimuli that needs PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path
from rsa_faces._core.optional import require

if TYPE_CHECKING:
    from av import VideoFrame

#: Endings of clips, in lower case.
SUFFIXES = dict.fromkeys(
    [".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"]
)

# Matroska and WebM keep times rounded to the millisecond.
TOLERANCE = Fraction(1, 1000)


@dataclass(frozen=True)
class Kind:
    """What is particular about a clip: pixels that are not square, parts that are transparent."""

    aspect: Fraction
    #: None, "laid over white" or "shown as if they were not": the decoder drops some.
    alpha: str | None


def check(path: Path) -> Kind:
    """Find out whether a file is whole and can be decoded; return what is particular about it."""
    av = _av()
    in_boxes = _check_boxes(path)
    try:
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            aspect = stream.sample_aspect_ratio or Fraction(1)
            promised = (container.duration or 0) / av.time_base
            # An edit list may show fewer frames than there are: a cut without encoding anew.
            if stream.average_rate and not in_boxes:
                promised = max(promised, float(stream.frames / stream.average_rate))
            dropped = stream.metadata.get("alpha_mode") == "1"
            ends = [0.0]
            for packet in container.demux():
                if packet.pts is not None and packet.time_base:
                    end = packet.pts + (packet.duration or 0)
                    ends.append(float(end * packet.time_base))
    except (av.error.FFmpegError, OSError) as err:
        raise _unreadable(path, err) from err
    frame = next(shown(path, None))
    # The last frame may last long and have no duration in the file.
    slack = max(0.2, 2 * np.diff(np.sort(ends)).max(initial=0.0))
    if max(ends) < promised - slack:
        raise InputError(
            f"expected a whole clip, but {path} ends at {max(ends):.2f} s and its header says "
            f"{promised:.2f} s. Copy or export it again."
        )
    if _has_alpha(frame):
        return Kind(aspect, "laid over white")
    return Kind(aspect, "shown as if they were not" if dropped else None)


def _check_boxes(path: Path) -> bool:
    """Tell whether a file is one of boxes (MP4, MOV, 3GP); it has to hold all of each."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            if head[4:] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return False
            start = 0
            while len(head) == 8:
                length = int.from_bytes(head[:4], "big")
                if length == 1:
                    length = int.from_bytes(file.read(8), "big")
                elif length == 0:  # to the end of the file
                    break
                if length < 8 or start + length > size:
                    raise InputError(
                        f"expected a whole clip, but {path} ends after {size} bytes and its "
                        f"header says {start + length}. Copy or export it again."
                    )
                start += length
                file.seek(start)
                head = file.read(8)
    except OSError as err:
        raise _unreadable(path, err) from err
    return True


def shown(path: Path, rate: Fraction | None) -> Iterator[VideoFrame]:
    """Yield the frames shown at 0, 1/rate, 2/rate … seconds; without a rate each frame once."""
    held, time, before, k = None, Fraction(0), Fraction(0), 0
    for frame, at in _decoded(path):
        if held is not None:
            if at < time:
                raise InputError(
                    f"expected ascending times of frames, but in {path} {float(at):.3f} s comes "
                    f"after {float(time):.3f} s. Convert the file first."
                )
            if rate is None:
                yield held
            else:
                while k / rate + TOLERANCE < at:
                    yield held
                    k += 1
        held, before, time = frame, time, at
    if held is None:
        raise InputError(f"expected a clip, but {path} has no frames.")
    if rate is None:
        yield held
        return
    lasts = held.duration * held.time_base if held.duration else time - before
    while k == 0 or k / rate + TOLERANCE < time + lasts:
        yield held
        k += 1


def pixels(frame: VideoFrame) -> np.ndarray:
    """Return a frame upright and over white, uint8 RGB, shape (height, width, 3)."""
    if _has_alpha(frame):
        layers = frame.to_ndarray(format="rgba").astype(np.uint16)
        alpha = layers[..., 3:]
        picture = ((layers[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    else:
        picture = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(_upright(picture, frame))


def _has_alpha(frame: VideoFrame) -> bool:
    """Tell whether a frame has transparent parts; as in pictures they are laid over white."""
    return any(component.is_alpha for component in frame.format.components)


def _decoded(path: Path) -> Iterator[tuple[VideoFrame, Fraction]]:
    """Yield each frame and its time in seconds since the first."""
    av = _av()
    first = None
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(_video_stream(container, path)):
                if frame.pts is None:
                    raise InputError(
                        f"expected times of frames, but {path} has frames without. Convert the "
                        "file first, for instance to mp4."
                    )
                first = frame.pts if first is None else first
                yield frame, (frame.pts - first) * Fraction(frame.time_base)
    except (av.error.FFmpegError, OSError) as err:
        raise _unreadable(path, err) from err


def _video_stream(container, path: Path):
    """Return the stream of pictures."""
    stream = container.streams.best("video")
    if stream is None:
        raise InputError(f"expected a clip, but {path} has no pictures, only other streams.")
    return stream


def _upright(picture: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """Turn and mirror a picture as the display matrix of its frame says."""
    matrix = next((s for s in frame.side_data if s.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return picture
    a, b, _, c, d = np.frombuffer(bytes(matrix), "<i4")[:5]
    # A point (x, y) is shown at (a x + c y, b x + d y).
    if a == 0 and d == 0 and b and c:
        return picture.transpose(1, 0, 2)[:: np.sign(b), :: np.sign(c)]
    if b == 0 and c == 0 and a and d:
        return picture[:: np.sign(d), :: np.sign(a)]
    raise InputError(
        "expected a clip that is upright or turned by a multiple of 90 degrees, but it is turned "
        f"by {np.degrees(np.arctan2(b, a)):.0f}. Turn the frames before they are encoded."
    )


def _unreadable(path: Path, err: Exception) -> InputError:
    """Return the error for a file that cannot be decoded."""
    return InputError(f"expected a video, but {path} cannot be read as one: {err}.")


def _av():
    """Return PyAV, or say how to install it."""
    return require("av", extra="video", purpose="Reading clips")


def write(path: Path, pictures: Sequence[np.ndarray], *, rate: int) -> None:
    """Write a clip (H.264), whole or not at all; the same pictures give the same bytes.

    Parameters
    ----------
    path : Path
        Ending in ``.mp4``.
    pictures : sequence of ndarray of uint8, shape (height, width, 3)
        With even height and width.
    rate : int
        Pictures per second.
    """
    av = _av()
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
