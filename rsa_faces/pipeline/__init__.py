"""From configuration to results: the only place that knows the order of the steps."""

from rsa_faces.pipeline._run import RunOutput, run
from rsa_faces.pipeline._searchlight import SearchlightOutput, run_searchlight
from rsa_faces.pipeline._timecourse import TimecourseOutput, run_timecourse

__all__ = [
    "RunOutput",
    "SearchlightOutput",
    "TimecourseOutput",
    "run",
    "run_searchlight",
    "run_timecourse",
]
