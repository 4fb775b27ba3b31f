"""From configuration to results: the only place that knows the order of the steps."""

from rsa_faces.pipeline._run import RunOutput, run
from rsa_faces.pipeline._searchlight import SearchlightOutput, run_searchlight

__all__ = ["RunOutput", "SearchlightOutput", "run", "run_searchlight"]
