"""Experiments as YAML: every key is known, every value is checked before anything runs."""

from rsa_faces.config._analyses import AnalysesConfig, load_analyses_config
from rsa_faces.config._brain import (
    SearchlightConfig,
    TimecourseConfig,
    load_searchlight_config,
    load_timecourse_config,
)
from rsa_faces.config._cluster import ClusterConfig, load_cluster_config
from rsa_faces.config._compare import (
    Config,
    DataConfig,
    FmriConfig,
    SimulatedRegionConfig,
    load_config,
)
from rsa_faces.config._inputs import ModelConfig
from rsa_faces.config._questions import TaskConfig
from rsa_faces.config._reading import dump_config

__all__ = [
    "AnalysesConfig",
    "ClusterConfig",
    "Config",
    "DataConfig",
    "FmriConfig",
    "ModelConfig",
    "SearchlightConfig",
    "SimulatedRegionConfig",
    "TaskConfig",
    "TimecourseConfig",
    "dump_config",
    "load_analyses_config",
    "load_cluster_config",
    "load_config",
    "load_searchlight_config",
    "load_timecourse_config",
]
