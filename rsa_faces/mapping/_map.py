"""What a searchlight found: similarities at every place, and how many voxels they come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_count, nearest
from rsa_faces._core.errors import InputError
from rsa_faces._core.numbers import best_index
from rsa_faces._core.result import BaseResult
from rsa_faces.brain import Surface, Volume
from rsa_faces.mapping.peaks import peak_table

BIASED = (
    "The best model was chosen and its similarity measured on the same data: the similarity is "
    "too large, and the more so the more models there are. For an unbiased map over subjects use "
    "best_model_map()."
)


@dataclass(frozen=True, eq=False, repr=False)
class BestModels(BaseResult, figure="plot_best_models"):
    """The best model at each place.

    Parameters
    ----------
    index : ndarray of int, shape (n_centers,)
        Number of the model; −1 where there is no similarity.
    similarity : ndarray, shape (n_centers,)
        Of the model at that place; of :func:`best_model_map` the mean over subjects who did not
        choose it.
    share : ndarray or None
        Of :func:`best_model_map`: the share of subjects whose others chose the model of `index`.
    subjects : ndarray, shape (n_subjects, n_centers), or None
        Of :func:`best_model_map`: the similarity in each subject of the model that the others
        chose.
    names : tuple of str
        Name of each model.
    space : Volume or Surface
    depth : ndarray or None, shape (n_models,)
        Depth of each model in its network: the label ``depth``, else ``layer_index``, if all
        models have it.

    See Also
    --------
    rsa_faces.mapping.best_model_map : Find the best model of each place.
    SearchlightMap : The outcome of :func:`searchlight`.
    rsa_faces.figures.plot_best_models : Draw which model is best at each place.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(8)]
    >>> model = rf.RDMs(rng.random((2, 28)), names, "simulated", {"name": ["one", "two"]})
    >>> mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
    >>> imgs = [nibabel.Nifti1Image(rng.normal(size=(4, 4, 4, 8)), np.eye(4)) for _ in range(3)]
    >>> maps = [rf.searchlight(img, mask_img=mask, conditions=names, models=model, radius=2.0,
    ...                        progress=False) for img in imgs]
    >>> best = rf.mapping.best_model_map(maps)
    >>> best.names, best.index.shape
    (('one', 'two'), (64,))
    """

    index: np.ndarray
    similarity: np.ndarray
    share: np.ndarray | None
    subjects: np.ndarray | None
    names: tuple[str, ...]
    space: Volume | Surface
    depth: np.ndarray | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row per model: number (from 1, as in images), places where it is best, mean there."""
        return _chosen(self)

    def __repr__(self) -> str:
        n_chosen = np.bincount(self.index[self.index >= 0], minlength=len(self.names))
        most = self.names[int(n_chosen.argmax())]
        return (
            f"BestModels({len(self.names)} models, {len(self.index)} centers, most often "
            f"{most!r}: {n_chosen.max()})"
        )

    def to_img(self, *, fill: float = np.nan):
        """Return an image of the number of the best model, as in `table`, from 1.

        0 would look like no model.

        Parameters
        ----------
        fill : float, default NaN
            Value where there is no model.

        Returns
        -------
        nibabel.Nifti1Image, or GiftiImage of a surface
        """
        return self.space.to_img(np.where(self.index >= 0, self.index + 1.0, np.nan), fill=fill)


@dataclass(frozen=True, eq=False, repr=False)
class SearchlightMap(BaseResult, figure="plot_map"):
    """The outcome of :func:`searchlight`.

    Parameters
    ----------
    similarity : ndarray, shape (n_models, n_centers)
        From −1 to 1; NaN where a centre has too few voxels, or a similarity is undefined. Centres
        are in the order of the mask (``image[mask]``) or of the vertices.
    n_voxels : ndarray of int, shape (n_centers,)
        Voxels (or vertices) the RDM of each centre was made from.
    n_left_out : ndarray of int, shape (n_centers,)
        Voxels within the radius and the mask that were left out: NaN, infinite or constant.
    space : Volume or Surface
        Where the centres are.
    labels : DataFrame
        Labels of the models, one row each.
    conditions : tuple of str
    measure, method : str
        How RDMs were made and compared.
    radius : float
        In mm.
    n_too_few : int
        Number of centres with too few voxels.
    n_undefined : int
        Number of centres where some pairs had no dissimilarity and were left out.

    See Also
    --------
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.
    rsa_faces.mapping.mean_map : Average the maps of several subjects, for figures and tables.
    rsa_faces.mapping.write_map : Write a map as images and tables that other tools read.
    rsa_faces.figures.plot_map : Draw a map as slices through the brain, or as views of a surface.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(8)]
    >>> model = rf.RDMs(rng.random((1, 28)), names, "simulated", {"name": ["one"]})
    >>> mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
    >>> imgs = [nibabel.Nifti1Image(rng.normal(size=(4, 4, 4, 8)), np.eye(4)) for _ in range(3)]
    >>> found = rf.searchlight(imgs[0], mask_img=mask, conditions=names, models=model, radius=2.0,
    ...                        progress=False)
    >>> found.similarity.shape, found.labels["name"].tolist(), int(found.n_voxels.max())
    ((1, 64), ['one'], 30)
    """

    similarity: np.ndarray
    n_voxels: np.ndarray
    n_left_out: np.ndarray
    space: Volume | Surface
    labels: pd.DataFrame
    conditions: tuple[str, ...]
    measure: str
    method: str
    radius: float
    n_too_few: int
    n_undefined: int

    @property
    def table(self) -> pd.DataFrame:
        """One row per model: its labels, and the mean and largest similarity of its map."""
        maps = pd.DataFrame(self.similarity.T)
        return self.labels.assign(
            mean_similarity=maps.mean().to_numpy(), max_similarity=maps.max().to_numpy()
        )

    def __repr__(self) -> str:
        n_models, n_centers = self.similarity.shape
        return (
            f"SearchlightMap({n_models} model{'s' * (n_models != 1)}, {n_centers} centers, radius "
            f"{self.radius:g} mm, {self.measure!r}, {self.method!r})"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each model: its label ``name``, or its network and layer."""
        return model_names(self.labels)

    def model_index(self, model: int | str | None) -> int:
        """Return the number of a model given by number or name; None is the only one."""
        names = self.names
        if model is None:
            if len(names) > 1:
                listed = ", ".join(map(repr, names[:5]))
                raise InputError(
                    f"expected `model`, one of the {len(names)} in this map, by name or number: "
                    f"{listed}{', ...' if len(names) > 5 else ''}."
                )
            return 0
        if isinstance(model, str):
            positions = [i for i, name in enumerate(names) if name == model]
            if len(positions) != 1:
                raise InputError(
                    f"expected the name of a model, got {model!r}.{nearest(model, names)}"
                    if not positions
                    else f"expected a name that one model has, but {len(positions)} are called "
                    f"{model!r}. Give the number, from 0 to {len(names) - 1}."
                )
            return positions[0]
        model = check_count(model, what="model", low=0)
        if model >= len(names):
            raise InputError(f"expected a model number from 0 to {len(names) - 1}, got {model}.")
        return model

    def to_img(self, model: int | str | None = None, *, fill: float = np.nan):
        """Return the similarities with one model as an image in the space of the data.

        Parameters
        ----------
        model : int or str, optional
            Number or name of the model; may be left out if there is one only.
        fill : float, default NaN
            Value outside the mask and of centres without a similarity. Some viewers want 0.

        Returns
        -------
        nibabel.Nifti1Image, or GiftiImage of a surface
            In float32. For counts use ``map.space.to_img(map.n_voxels)``.

        Raises
        ------
        InputError
            If there is no such model.
        """
        return self.space.to_img(self.similarity[self.model_index(model)], fill=fill)

    def best(self) -> BestModels:
        """Return the model with the largest similarity at each centre, the first of equal ones.

        Returns
        -------
        BestModels
            Chosen and measured on the same data, so the similarities are too large: see `note`,
            and :func:`best_model_map` for a map that is not biased.
        """
        index, similarity = best_of(self.similarity)
        return BestModels(
            index,
            similarity,
            None,
            None,
            self.names,
            self.space,
            depths(self.labels),
            notes=(BIASED,),
        )

    def peaks(
        self, model: int | str | None = None, *, n: int = 10, min_distance: float = 16.0
    ) -> pd.DataFrame:
        """Return the centres where similarity is larger than all around.

        Parameters
        ----------
        model : int or str, optional
            As for :meth:`to_img`.
        n : int, default 10
            At most this many.
        min_distance : float, default 16.0
            Between peaks, in mm (straight, also on surfaces); of two that are nearer the larger
            stays.

        Returns
        -------
        DataFrame
            The largest first: ``model``, ``similarity``, ``n_voxels``, the place (``i``, ``j``,
            ``k``, or ``vertex``), and ``x``, ``y``, ``z`` in mm. Centres are compared with the 26
            voxels around them, or the vertices they share an edge with.

        Raises
        ------
        InputError
            If there is no such model, or `n` or `min_distance` are not numbers above 0.
        """
        model = self.model_index(model)
        table = peak_table(
            self.space,
            self.similarity[model],
            n=n,
            min_distance=min_distance,
            n_voxels=self.n_voxels,
        )
        table = table.rename(columns={"value": "similarity"})
        table.insert(0, "model", self.names[model])
        return table


def model_names(labels: pd.DataFrame, what: str = "model") -> tuple[str, ...]:
    """Return the name of each model: its label name, or network and layer, or what and number."""
    parts = labels.reindex(columns=["name", "network", "layer"]).astype(object)
    parts = parts.where(parts.notna(), "").astype(str)
    layers = (parts["network"] + " " + parts["layer"]).str.strip()
    names = parts["name"].where(parts["name"] != "", layers)
    return tuple(name or f"{what} {i}" for i, name in enumerate(names, start=1))


def depths(labels: pd.DataFrame) -> np.ndarray | None:
    """Return the depth of each model in its network, or None where some have none."""
    # Depth compares layers of networks with different numbers of layers; the index is what is left
    # for RDMs of other tools.
    for column in ("depth", "layer_index"):
        if column in labels:
            depth = pd.to_numeric(labels[column], errors="coerce").to_numpy(np.float64)
            if np.isfinite(depth).all():
                return depth
    return None


def _chosen(best: BestModels) -> pd.DataFrame:
    """Return how often each model is the best, and how similar it is there."""
    placed = best.index >= 0
    index, n_models = best.index[placed], len(best.names)
    counts = np.bincount(index, minlength=n_models)
    sums = np.bincount(index, weights=best.similarity[placed], minlength=n_models)
    mean = np.divide(sums, counts, out=np.full(n_models, np.nan), where=counts > 0)
    numbers = range(1, n_models + 1)
    return pd.DataFrame(
        {"number": numbers, "model": list(best.names), "n_centers": counts, "similarity": mean}
    )


def best_of(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return number and similarity of the best model at each centre; −1 and NaN where none is."""
    # A model that is undefined at a place does not take the place from those that are defined
    # there.
    filled = np.where(np.isnan(similarity), -np.inf, similarity)
    index = best_index(filled, axis=0)
    best = filled[index, np.arange(len(index))]
    none = best == -np.inf
    return np.where(none, -1, index), np.where(none, np.nan, best)
