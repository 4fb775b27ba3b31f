"""Video files to frames; the one module of the stimuli that needs PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces._core.optional import require

if TYPE_CHECKING:
    from av import VideoFrame

SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".webm"}

# Matroska and WebM keep times rounded to the millisecond.
TOLERANCE = Fraction(1, 1000)


def check(path: Path) -> Fraction:
    """Find out whether a file is whole and can be decoded; return the shape of its pixels."""
    av = _av()
    try:
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            aspect = stream.sample_aspect_ratio or Fraction(1)
            promised = (container.duration or 0) / av.time_base
            if stream.average_rate:
                promised = max(promised, float(stream.frames / stream.average_rate))
            ends = [0.0]
            for packet in container.demux():
                if packet.pts is not None and packet.time_base:
                    end = packet.pts + (packet.duration or 0)
                    ends.append(float(end * packet.time_base))
    except (av.error.FFmpegError, OSError) as err:
        raise _unreadable(path, err) from err
    next(shown(path, None))
    # The last frame may last long and have no duration in the file.
    slack = max(0.2, 2 * np.diff(np.sort(ends)).max(initial=0.0))
    if max(ends) < promised - slack:
        raise InputError(
            f"expected a whole clip, but {path} ends at {max(ends):.2f} s and its header says "
            f"{promised:.2f} s. Copy or export it again."
        )
    return aspect


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
    """Return a frame upright, uint8 RGB, shape (height, width, 3)."""
    return np.ascontiguousarray(_upright(frame.to_ndarray(format="rgb24"), frame))


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
    return require("av", extra="video", purpose="reading clips")
