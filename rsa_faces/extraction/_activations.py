"""What extraction returns: one matrix per layer, in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice, check_is
from rsa_faces._core.errors import InputError
from rsa_faces._core.names import check_unique_names, named_layers


class Activations(Mapping):
    """Activations of the layers of one network: layer to ndarray (n_conditions, n_channels).

    A read-only mapping in order of computation. Layers that lie on disk are read when they are
    asked for, so that a loop over :meth:`items` holds one layer at a time; :meth:`patterns` need
    not hold even one.

    Parameters
    ----------
    arrays : mapping of str to ndarray, shape (n_conditions, n_channels)
        One matrix per layer; rows in the order of `conditions`, or with names (DataFrame,
        DataArray), which are put into this order.
    conditions : sequence of str
        Unique names, one per row.
    network : str, default ""
        The network's name.
    depth : mapping of str to float, optional
        Per layer, the share of the network's modules that have run when its output is ready,
        above 0 up to 1. By default layers are spaced evenly.
    provenance : mapping, optional
        What the numbers depend on.

    Attributes
    ----------
    conditions : tuple of str
        As given; from :func:`extract`, the stimulus ids.
    network : str
        As given.
    layers : tuple of str
        In order of computation.
    depth : dict of str to float
        As given.
    provenance : dict
        As given.

    Raises
    ------
    InputError
        If there is no layer, names are not unique, or a matrix does not have one row per
        condition, brings other names, or is not of real numbers.

    See Also
    --------
    rsa_faces.extract : Record what the layers of a network answer to each stimulus.
    rsa_faces.load_activations : Open a store of activations, without the network.
    rsa_faces.compute_rdms : Build RDMs from patterns.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.extraction import Activations
    >>> acts = Activations({"conv1": np.eye(2), "fc": np.ones((2, 3))}, ["face", "house"])
    >>> acts
    Activations(2 layers, 2 conditions)
    >>> {layer: patterns.shape for layer, patterns in acts.items()}
    {'conv1': (2, 2), 'fc': (2, 3)}
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        conditions: Sequence[str],
        *,
        network: str = "",
        depth: Mapping[str, float] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        check_is(arrays, Mapping, what="arrays", hint="a mapping of layer to patterns")
        self.conditions = check_unique_names(conditions, what="condition")
        self.layers = tuple(arrays)
        if not self.layers:
            raise InputError("expected activations of at least one layer, got none.")
        if isinstance(arrays, dict):
            arrays, _ = named_layers(arrays, conditions)
        self._arrays = arrays
        self.network = network
        n_layers = len(self.layers)
        self.depth = dict(depth or {name: (i + 1) / n_layers for i, name in enumerate(self.layers)})
        self.provenance = dict(provenance or {})

    def __getitem__(self, layer: str) -> np.ndarray:
        """Return one layer, from memory or disk.

        Raises
        ------
        InputError
            If there is no such layer (the nearest is named), or its values on disk are damaged.
        """
        return self._arrays[check_choice(layer, self.layers, what="layer")]

    def patterns(self, layer: str) -> Any:
        """Return one layer for RDMs: an array, or patterns on disk that are read in slabs.

        Returns
        -------
        ndarray, shape (n_conditions, n_channels), or an object with the same shape
            :func:`rsa_faces.compute_rdms` takes either; numpy.asarray reads all of it.
        """
        layer = check_choice(layer, self.layers, what="layer")
        read = getattr(self._arrays, "patterns", None)
        return self._arrays[layer] if read is None else read(layer)

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __contains__(self, layer: object) -> bool:
        return layer in self.layers

    def __repr__(self) -> str:
        of = f" of {self.network!r}" if self.network else ""
        plural = "layer" if len(self) == 1 else "layers"
        return f"Activations({len(self)} {plural}{of}, {len(self.conditions)} conditions)"
