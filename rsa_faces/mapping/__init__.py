"""Mapping: similarities of models and data at every place of the brain, and tests of such maps."""

from rsa_faces.mapping._map import SearchlightMap
from rsa_faces.mapping.cifti import to_cifti
from rsa_faces.mapping.electrodes import ElectrodeLines, electrode_lines
from rsa_faces.mapping.files import write_map
from rsa_faces.mapping.groups import (
    BestModels,
    CeilingMap,
    best_model_map,
    ceiling_map,
    group_test,
    mean_map,
)
from rsa_faces.mapping.parts import group_test_parts, image_parts
from rsa_faces.mapping.peaks import peak_table
from rsa_faces.mapping.regions import RegionModels, compare_region_models, semi_partial
from rsa_faces.mapping.searchlight import searchlight
from rsa_faces.mapping.time_courses import LayerMap, layer_map
from rsa_faces.mapping.time_tests import MapClusters, compare_networks, map_clusters

__all__ = [
    "BestModels",
    "CeilingMap",
    "ElectrodeLines",
    "LayerMap",
    "MapClusters",
    "RegionModels",
    "SearchlightMap",
    "best_model_map",
    "ceiling_map",
    "compare_networks",
    "compare_region_models",
    "electrode_lines",
    "group_test",
    "group_test_parts",
    "image_parts",
    "layer_map",
    "map_clusters",
    "mean_map",
    "peak_table",
    "searchlight",
    "semi_partial",
    "to_cifti",
    "write_map",
]
