"""From configuration to results: the only place that knows the order of the steps."""

from rsa_faces.pipeline._analyses import AnalysesOutput, run_analyses
from rsa_faces.pipeline._run import RunOutput, run
from rsa_faces.pipeline._searchlight import SearchlightOutput, run_searchlight
from rsa_faces.pipeline._timecourse import TimecourseOutput, run_timecourse

__all__ = [
    "AnalysesOutput",
    "RunOutput",
    "SearchlightOutput",
    "TimecourseOutput",
    "run",
    "run_analyses",
    "run_searchlight",
    "run_timecourse",
]
