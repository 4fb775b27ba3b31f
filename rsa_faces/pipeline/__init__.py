"""From configuration to results: the only place that knows the order of the steps."""

from rsa_faces.pipeline._run import RunOutput, run

__all__ = ["RunOutput", "run"]
