"""Runs: from a configuration to tables, figures, a report and their provenance."""

from rsa_faces.runs._reading import COMMANDS
from rsa_faces.runs.analyse.config import AnalysesConfig
from rsa_faces.runs.compare.config import Config
from rsa_faces.runs.searchlight.config import SearchlightConfig
from rsa_faces.runs.timecourse.config import TimecourseConfig

COMMANDS |= {
    "compare": Config,
    "searchlight": SearchlightConfig,
    "timecourse": TimecourseConfig,
    "analyse": AnalysesConfig,
}

__all__ = ["COMMANDS", "AnalysesConfig", "Config", "SearchlightConfig", "TimecourseConfig"]
