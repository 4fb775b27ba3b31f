"""Analyses: what features tell beyond their geometry, each question one call."""

from rsa_faces.analyses._groups import SELF_REPORT
from rsa_faces.analyses.design.head_synthesis import synthesise_heads
from rsa_faces.analyses.design.stimulus_design import (
    StimulusDesign,
    choose_stimuli,
    simulate_selection,
)
from rsa_faces.analyses.design.stimulus_synthesis import (
    Synthesis,
    synthesise_faces,
    synthesise_images,
)
from rsa_faces.analyses.dynamics.movement import (
    Movement,
    MovementParts,
    movement,
    movement_adds,
)
from rsa_faces.analyses.face_code.averageness import Averageness, averageness
from rsa_faces.analyses.face_code.axis_coding import AxisTuning, axis_tuning
from rsa_faces.analyses.face_code.axis_geometry import AxisGeometry, axis_geometry
from rsa_faces.analyses.face_code.face_decoding import FaceDecoding, decode_faces
from rsa_faces.analyses.face_code.face_space import Faces, FaceSpace, face_space
from rsa_faces.analyses.information.congruence import Congruence, congruence
from rsa_faces.analyses.information.encoding import Encoding, encoding
from rsa_faces.analyses.information.individuation import Individuation, individuation
from rsa_faces.analyses.information.kdef import kdef_table
from rsa_faces.analyses.information.landmark_gain import LandmarkGain, landmark_gain
from rsa_faces.analyses.information.landmarks import (
    LandmarkReadout,
    face_size,
    landmark_readout,
    measure_landmarks,
    read_landmarks,
)
from rsa_faces.analyses.information.rating_reliability import rating_reliability
from rsa_faces.analyses.information.readout import Readout, readout, transfer_matrix
from rsa_faces.analyses.information.trait_generalization import trait_generalization
from rsa_faces.analyses.information.traits import TraitReadout, trait_readout
from rsa_faces.analyses.networks.agreement import LayerAgreement, layer_agreement, seed_consistency
from rsa_faces.analyses.networks.attribution import AttributionMap, attribution_map
from rsa_faces.analyses.networks.background import BackgroundUnits, background_units
from rsa_faces.analyses.networks.embedding_map import EmbeddingMap, embedding_map, shape_distance
from rsa_faces.analyses.networks.membership import Membership, membership
from rsa_faces.analyses.networks.occlusion import OcclusionMap, occlusion_map
from rsa_faces.analyses.networks.template_verification import (
    TemplateVerification,
    template_embeddings,
    template_verification,
)
from rsa_faces.analyses.networks.topography import (
    ReceptiveFields,
    TopographyComparison,
    central_bias,
    compare_topography,
    receptive_fields,
    topographic_rdms,
)
from rsa_faces.analyses.people.false_matches import FalseMatches, false_matches
from rsa_faces.analyses.people.group_components import GroupComponents, group_components
from rsa_faces.analyses.people.group_erasure import GroupErasure, erase_groups
from rsa_faces.analyses.people.group_scores import (
    ScoreDistributions,
    score_distributions,
    similarity_scores,
)
from rsa_faces.analyses.people.homophily import Homophily, homophily
from rsa_faces.analyses.quality.confidence import (
    OutlierFlag,
    SimilarityInterval,
    flag_rates,
    image_confidence,
)
from rsa_faces.analyses.quality.confidence_check import ConfidenceCheck, check_confidence
from rsa_faces.analyses.quality.light import LightGain, light_gain
from rsa_faces.analyses.quality.robustness import Robustness, robustness

__all__ = [
    "background_units",
    "BackgroundUnits",
    "attribution_map",
    "AttributionMap",
    "movement_adds",
    "movement",
    "MovementParts",
    "Movement",
    "synthesise_images",
    "synthesise_faces",
    "synthesise_heads",
    "Synthesis",
    "simulate_selection",
    "choose_stimuli",
    "StimulusDesign",
    "shape_distance",
    "embedding_map",
    "EmbeddingMap",
    "seed_consistency",
    "layer_agreement",
    "LayerAgreement",
    "light_gain",
    "LightGain",
    "robustness",
    "Robustness",
    "image_confidence",
    "flag_rates",
    "check_confidence",
    "ConfidenceCheck",
    "SimilarityInterval",
    "OutlierFlag",
    "homophily",
    "Homophily",
    "topographic_rdms",
    "receptive_fields",
    "compare_topography",
    "central_bias",
    "TopographyComparison",
    "ReceptiveFields",
    "template_verification",
    "template_embeddings",
    "TemplateVerification",
    "membership",
    "Membership",
    "trait_readout",
    "trait_generalization",
    "rating_reliability",
    "TraitReadout",
    "similarity_scores",
    "score_distributions",
    "ScoreDistributions",
    "group_components",
    "GroupComponents",
    "false_matches",
    "FalseMatches",
    "SELF_REPORT",
    "encoding",
    "OcclusionMap",
    "occlusion_map",
    "GroupErasure",
    "erase_groups",
    "Individuation",
    "individuation",
    "Encoding",
    "Averageness",
    "AxisGeometry",
    "AxisTuning",
    "Congruence",
    "FaceDecoding",
    "FaceSpace",
    "Faces",
    "LandmarkGain",
    "LandmarkReadout",
    "Readout",
    "averageness",
    "axis_geometry",
    "axis_tuning",
    "congruence",
    "decode_faces",
    "face_size",
    "face_space",
    "kdef_table",
    "landmark_gain",
    "landmark_readout",
    "measure_landmarks",
    "read_landmarks",
    "readout",
    "transfer_matrix",
]
