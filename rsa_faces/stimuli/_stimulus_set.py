"""Images with ids and a table about them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_is
from rsa_faces._core.errors import InputError
from rsa_faces._core.expressions import rows_where
from rsa_faces._core.files import sha256_bytes
from rsa_faces._core.names import check_unique_names, in_memory, named, ordered
from rsa_faces._core.stored import storable
from rsa_faces.stimuli.images import decode, read_bytes


@dataclass(frozen=True, eq=False, repr=False, init=False)
class StimulusSet:
    """Images with unique ids, a metadata table and a hash each. Immutable, sorted by id.

    Make one with :func:`load_stimuli` (files) or :meth:`from_arrays` (images in memory).
    Images in files stay there: each is read when it is asked for.

    Attributes
    ----------
    ids : tuple of str
        Unique, in sorted order; the conditions of everything computed from the set.
    sha256 : tuple of str
        Per image: the hash of the file's bytes, or of shape and pixels for images in memory.
    metadata : DataFrame
        One row per stimulus, indexed by id (a copy).
    hash : str
        SHA-256 of all content: ids, images and metadata.
    cropped : bool
        Whether the images are known to be faces cut out, as networks of faces are trained on:
        those of :func:`rsa_faces.crop_faces` are.

    See Also
    --------
    rsa_faces.load_stimuli : Load the images of a folder.
    rsa_faces.ClipSet : Video clips with names and metadata.
    rsa_faces.datasets.images92 : Load the 92-image set of Kriegeskorte et al.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.stimuli import StimulusSet
    >>> grey = np.full((2, 4, 4, 3), 128, dtype=np.uint8)
    >>> faces = StimulusSet.from_arrays(grey, ["b", "a"], {"smiling": [True, False]})
    >>> faces.ids
    ('a', 'b')
    >>> faces.query("smiling").ids
    ('b',)
    """

    ids: tuple[str, ...]
    sha256: tuple[str, ...]
    _sources: tuple[Path | np.ndarray, ...]
    _metadata: pd.DataFrame
    cropped: bool

    def __init__(
        self,
        ids: Sequence[str],
        sources: Sequence[Path | np.ndarray],
        sha256: Sequence[str],
        metadata: pd.DataFrame,
        cropped: bool = False,
    ) -> None:
        # One order whatever the file system lists: results, hashes and stores do not depend on the
        # machine.
        order = sorted(range(len(ids)), key=ids.__getitem__)
        metadata = metadata.iloc[order].set_axis([ids[i] for i in order])
        object.__setattr__(self, "ids", tuple(ids[i] for i in order))
        object.__setattr__(self, "sha256", tuple(sha256[i] for i in order))
        object.__setattr__(self, "_sources", tuple(sources[i] for i in order))
        object.__setattr__(self, "_metadata", metadata.rename_axis("id"))
        object.__setattr__(self, "cropped", bool(cropped))

    @classmethod
    def from_arrays(
        cls,
        images: Sequence[np.ndarray] | np.ndarray,
        ids: Sequence[str],
        metadata: pd.DataFrame | Mapping[str, Any] | None = None,
        cropped: bool = False,
    ) -> StimulusSet:
        """Make a set of images held in memory.

        Parameters
        ----------
        images : sequence of ndarray, each uint8 with shape (height, width, 3)
            RGB, 0 to 255. Copied. A mapping or Series is matched to `ids` by name.
        ids : sequence of str
            Unique names, one per image.
        metadata : DataFrame or mapping of column to values, optional
            Frames, and columns that are Series or mappings, are matched by id where their index
            holds names; otherwise one row per image, in their order.
        cropped : bool, default False
            Whether the images are faces cut out, as networks of faces are trained on.

        Raises
        ------
        InputError
            If an image has another type or shape, or ids are not unique, or do not fit the
            images or the metadata.
        """
        ids = check_unique_names(ids, what="stimulus")
        if isinstance(images, (Mapping, pd.Series)):
            order, _ = ordered(images.keys(), ids, what="images", of="stimulus")
            images = [
                list(images.values() if isinstance(images, Mapping) else images)[i] for i in order
            ]
        elif in_memory(images):
            images, _ = named(images, ids, what="images", of="stimulus")
        check_is(images, (Sequence, np.ndarray), what="images", hint="a sequence of arrays")
        if not ids or len(images) != len(ids):
            raise InputError(
                "expected at least one image and one id per image, got "
                f"{len(images)} images and {len(ids)} ids."
            )
        copies, hashes = [], []
        for name, image in zip(ids, images, strict=True):
            pixels = np.array(image, order="C")
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                raise InputError(
                    "expected images of type uint8 and shape (height, width, 3), but "
                    f"{name!r} has type {pixels.dtype} and shape {pixels.shape}."
                )
            pixels.flags.writeable = False
            copies.append(pixels)
            # With the shape: the same bytes as 2 × 8 and 4 × 4 pixels are different images.
            hashes.append(sha256_bytes(repr(pixels.shape).encode(), pixels.tobytes()))
        return cls(ids, copies, hashes, _as_metadata(metadata, ids), cropped)

    @property
    def metadata(self) -> pd.DataFrame:
        """DataFrame with one row per stimulus, indexed by id (a copy)."""
        return self._metadata.copy()

    @property
    def hash(self) -> str:
        """SHA-256 of all content: ids, images and metadata."""
        return sha256_bytes(
            "\0".join(self.ids).encode(),
            "".join(self.sha256).encode(),
            self._metadata.to_json(orient="split", double_precision=15).encode(),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._positions

    def __repr__(self) -> str:
        columns = ", ".join(map(str, self._metadata.columns)) or "none"
        return f"StimulusSet({len(self)} images, metadata: {columns})"

    def __reduce__(self):
        # Through the constructors, because NumPy drops the read-only flag when it unpickles.
        if isinstance(self._sources[0], np.ndarray):
            return StimulusSet.from_arrays, (self._sources, self.ids, self._metadata, self.cropped)
        return StimulusSet, (self.ids, self._sources, self.sha256, self._metadata, self.cropped)

    def image(self, name: str) -> np.ndarray:
        """Return one image.

        Parameters
        ----------
        name : str
            A stimulus id.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)
            RGB, 0 to 255, turned upright by the file's EXIF orientation. Grey images get three
            equal channels, palettes are resolved, transparent pixels are laid over white, CMYK
            is converted by Pillow; colour profiles are ignored. Of an animation: the first frame.

        Raises
        ------
        InputError
            If there is no such id (the nearest is named), or the file is gone or has changed
            since the set was made.
        """
        at = self._index(name)
        source = self._sources[at]
        if isinstance(source, np.ndarray):
            return source
        data = read_bytes(source)
        # Images are read when they are shown: one that changed meanwhile would go into results
        # under the old hash.
        if sha256(data).hexdigest() != self.sha256[at]:
            raise InputError(
                f"{source} has changed since the stimuli were loaded. Load them again."
            )
        return decode(data, source)

    def subset(self, ids: Sequence[str]) -> StimulusSet:
        """Return the set with these stimuli only (still sorted by id).

        Parameters
        ----------
        ids : sequence of str
            Unique ids of this set.

        Raises
        ------
        InputError
            If an id does not occur (the nearest is named), occurs twice, or none is given.
        """
        ids = check_unique_names(ids, what="stimulus")
        if not ids:
            raise InputError("expected at least one stimulus id, got none.")
        index = [self._index(name) for name in ids]
        return StimulusSet(
            ids,
            [self._sources[i] for i in index],
            [self.sha256[i] for i in index],
            self._metadata.iloc[index],
            self.cropped,
        )

    def query(self, expression: str) -> StimulusSet:
        """Return the stimuli for which an expression on the metadata is true.

        Parameters
        ----------
        expression : str
            Such as ``"face and human"``, ``"category == 'human face'"``, ``"age > 30"`` or
            ``"expression in ['sad', 'happy'] and not human"``: names of columns, constants,
            comparisons, ``in``, ``and``, ``or`` and ``not``. The ids are the column ``id``.

        Raises
        ------
        InputError
            If the expression cannot be evaluated, is not true or false for each stimulus, or
            is true for none.
        """
        table = self._metadata.reset_index(drop=True)
        table = table if "id" in table else table.assign(id=list(self.ids))
        values = rows_where(expression, table, rows="stimuli")
        chosen_ids = [name for name, yes in zip(self.ids, values, strict=True) if yes]
        if not chosen_ids:
            raise InputError(f"expected stimuli with {expression!r}, but none of {len(self)} has.")
        return self.subset(chosen_ids)

    @functools.cached_property
    def _positions(self) -> dict[str, int]:
        """The position of each id."""
        return {name: i for i, name in enumerate(self.ids)}

    def _index(self, name: str) -> int:
        """Return the position of an id."""
        return self._positions[check_choice(name, self._positions, what="stimulus")]


def _as_metadata(metadata: Any, ids: tuple[str, ...]) -> pd.DataFrame:
    """Return a frame with one row per id, in their order."""
    if metadata is None:
        return pd.DataFrame(index=list(ids))
    said = {"what": "metadata", "of": "stimulus"}
    if isinstance(metadata, pd.Series):
        metadata = metadata.to_frame("0" if metadata.name is None else metadata.name)
    if isinstance(metadata, pd.DataFrame) and not isinstance(metadata.index, pd.RangeIndex):
        return metadata.iloc[ordered(metadata.index, ids, **said)[0]]
    check_is(metadata, (pd.DataFrame, Mapping), what="metadata", hint="a DataFrame or a mapping")
    columns = {}
    for name, values in metadata.items():
        if isinstance(values, Mapping):
            values = pd.Series(values)
        if isinstance(values, pd.Series) and not isinstance(values.index, pd.RangeIndex):
            values = values.iloc[ordered(values.index, ids, **said)[0]]
        single = isinstance(values, str) or np.ndim(values) == 0
        columns[name] = values if single else pd.Series(values).array
    try:
        frame = pd.DataFrame(columns, index=range(len(ids)) if not columns else None)
    except ValueError as err:
        raise InputError(f"expected metadata with one value per image: {err}.") from err
    if len(frame) != len(ids):
        raise InputError(
            f"expected metadata with {len(ids)} rows, one per image, got {len(frame)}."
        )
    return frame


storable(
    StimulusSet,
    lambda images: {
        "ids": images.ids,
        "sources": images._sources,
        "sha256": images.sha256,
        "metadata": images.metadata,
        "cropped": images.cropped,
    },
    lambda parts: StimulusSet(
        parts["ids"],
        [Path(one) if isinstance(one, str) else one for one in parts["sources"]],
        parts["sha256"],
        parts["metadata"],
        parts["cropped"],
    ),
)
