"""Figures ready for a paper: each takes results or RDMs and returns a matplotlib Figure.

Its ``axes`` are the panels in reading order, then what explains colours; of a figure that was drawn
into axes of your own (``ax=``) the figure that they are in.
"""

from rsa_faces.figures._parts import network_colors, palette
from rsa_faces.figures._style import save_figure
from rsa_faces.figures.agreement import plot_layer_agreement, plot_seed_consistency
from rsa_faces.figures.congruence import plot_congruence
from rsa_faces.figures.contrast import plot_contrast
from rsa_faces.figures.effects import plot_effects
from rsa_faces.figures.electrodes import plot_electrodes
from rsa_faces.figures.embedding_map import plot_embedding_map, plot_map_surface
from rsa_faces.figures.encoding import plot_encoding, plot_feature_sets
from rsa_faces.figures.face_space import (
    plot_axis_geometry,
    plot_axis_tuning,
    plot_components,
    plot_faces,
    plot_identification,
)
from rsa_faces.figures.groups import (
    plot_false_matches,
    plot_group_components,
    plot_score_distributions,
)
from rsa_faces.figures.heads import plot_head_fit
from rsa_faces.figures.heatmap import plot_heatmap
from rsa_faces.figures.homophily import plot_homophily
from rsa_faces.figures.ieeg import plot_layer_map
from rsa_faces.figures.landmarks import plot_landmark_readout, plot_landmarks
from rsa_faces.figures.layers import plot_layers
from rsa_faces.figures.map_page import view_map
from rsa_faces.figures.maps import plot_best_models, plot_map
from rsa_faces.figures.mds import plot_mds
from rsa_faces.figures.membership import plot_membership
from rsa_faces.figures.models import last_layers, plot_models
from rsa_faces.figures.occlusion import plot_occlusion
from rsa_faces.figures.partition import plot_partition
from rsa_faces.figures.peaks import plot_peaks
from rsa_faces.figures.rdms import plot_rdms
from rsa_faces.figures.readout import plot_readout, plot_transfer
from rsa_faces.figures.robustness import plot_flags, plot_robustness
from rsa_faces.figures.stimulus_design import plot_stimulus_design, plot_synthesis
from rsa_faces.figures.template_verification import plot_template_verification
from rsa_faces.figures.time import plot_generalization, plot_movies, plot_time
from rsa_faces.figures.topography import plot_central_bias, plot_receptive_fields, plot_topography
from rsa_faces.figures.traits import plot_specificity, plot_traits

__all__ = [
    "last_layers",
    "network_colors",
    "palette",
    "plot_axis_geometry",
    "plot_axis_tuning",
    "plot_best_models",
    "plot_central_bias",
    "plot_components",
    "plot_congruence",
    "plot_contrast",
    "plot_effects",
    "plot_electrodes",
    "plot_encoding",
    "plot_embedding_map",
    "plot_faces",
    "plot_false_matches",
    "plot_feature_sets",
    "plot_flags",
    "plot_generalization",
    "plot_group_components",
    "plot_head_fit",
    "plot_heatmap",
    "plot_homophily",
    "plot_identification",
    "plot_landmark_readout",
    "plot_landmarks",
    "plot_layer_agreement",
    "plot_layer_map",
    "plot_layers",
    "plot_map",
    "plot_map_surface",
    "plot_mds",
    "plot_membership",
    "plot_models",
    "plot_movies",
    "plot_occlusion",
    "plot_partition",
    "plot_peaks",
    "plot_rdms",
    "plot_readout",
    "plot_receptive_fields",
    "plot_robustness",
    "plot_score_distributions",
    "plot_seed_consistency",
    "plot_specificity",
    "plot_stimulus_design",
    "plot_synthesis",
    "plot_template_verification",
    "plot_time",
    "plot_topography",
    "plot_traits",
    "plot_transfer",
    "save_figure",
    "view_map",
]
