"""From the channels of each centre of a searchlight to its RDM: codes, and the compiled form.

The plain form is the measure itself, called at each centre (`rsa_faces.mapping._patterns`).
"""

from __future__ import annotations

from rsa_faces._kernels.choice import call

FINE, FEW, UNDEFINED = 0, 1, 2  # state of an RDM: whole, too few channels, some pairs undefined
CORRELATION, COSINE, SQEUCLIDEAN, EUCLIDEAN, MAHALANOBIS, CROSSNOBIS, POISSON = range(7)
NO_NOISE, LEDOIT_WOLF, SCHAEFER_STRIMMER = range(3)
#: Places times pairs of conditions up to which the plain form takes less time than compiling. By
#: size alone, so that the last digits of a map never depend on what was done before.
PLAIN = 3 * 10**5


def fill_rdms(*arguments) -> None:
    """Fill the RDM of each centre: :func:`rsa_faces._kernels._spheres_loops.fill_rdms`."""
    from rsa_faces._kernels import _spheres_loops

    call(_spheres_loops.fill_rdms, *arguments)
