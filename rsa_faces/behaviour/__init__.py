"""Behaviour: arrangements, ratings and triplets become RDMs.

Reliability and noise ceilings of raters are in :mod:`rsa_faces.inference`, with ``by="rater"``.
"""

from rsa_faces.behaviour._report import RaterReport
from rsa_faces.behaviour._trials import Arrangements, Trial, read_arrangements
from rsa_faces.behaviour.adaptive import enough_evidence, next_trial
from rsa_faces.behaviour.geometry import feature_contrast, feature_masks
from rsa_faces.behaviour.inverse_mds import ArrangementRDM, inverse_mds, trial_reliability
from rsa_faces.behaviour.meadows import MeadowsData, read_meadows, read_meadows_annotations
from rsa_faces.behaviour.raters import (
    RaterRDMs,
    fit_raters,
    group_rdm,
    load_rater_rdms,
    rater_agreement,
)
from rsa_faces.behaviour.ratings import RatedRDMs, matrix_rdms, pair_rating_rdms, trait_rdms
from rsa_faces.behaviour.triplets import TripletEmbedding, triplet_embedding, triplet_rdms

__all__ = [
    "ArrangementRDM",
    "Arrangements",
    "MeadowsData",
    "RatedRDMs",
    "RaterRDMs",
    "RaterReport",
    "Trial",
    "TripletEmbedding",
    "enough_evidence",
    "feature_contrast",
    "feature_masks",
    "fit_raters",
    "group_rdm",
    "inverse_mds",
    "load_rater_rdms",
    "matrix_rdms",
    "next_trial",
    "pair_rating_rdms",
    "rater_agreement",
    "read_arrangements",
    "read_meadows",
    "read_meadows_annotations",
    "trait_rdms",
    "trial_reliability",
    "triplet_embedding",
    "triplet_rdms",
]
