"""The questions that `rsa-faces analyse` answers: one file, one object each."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from rsa_faces.runs.analyse.questions._base import Question, Study
from rsa_faces.runs.analyse.questions.agreement import Agreement
from rsa_faces.runs.analyse.questions.averageness import Averageness
from rsa_faces.runs.analyse.questions.axes import Axes
from rsa_faces.runs.analyse.questions.background import Background
from rsa_faces.runs.analyse.questions.components import Components
from rsa_faces.runs.analyse.questions.confidence import Confidence
from rsa_faces.runs.analyse.questions.congruence import Congruence
from rsa_faces.runs.analyse.questions.dynamics import Moments, Movement, MovementAdds
from rsa_faces.runs.analyse.questions.encoding import Encoding
from rsa_faces.runs.analyse.questions.erasure import Erasure
from rsa_faces.runs.analyse.questions.face_space import FaceSpace
from rsa_faces.runs.analyse.questions.groups import Groups
from rsa_faces.runs.analyse.questions.homophily import Homophily
from rsa_faces.runs.analyse.questions.individuation import Individuation
from rsa_faces.runs.analyse.questions.landmark_gain import LandmarkGain
from rsa_faces.runs.analyse.questions.landmarks import Landmarks
from rsa_faces.runs.analyse.questions.light import Light
from rsa_faces.runs.analyse.questions.map import Map
from rsa_faces.runs.analyse.questions.membership import Membership
from rsa_faces.runs.analyse.questions.occlusion import Attribution, Occlusion
from rsa_faces.runs.analyse.questions.readout import Readout
from rsa_faces.runs.analyse.questions.robustness import Robustness
from rsa_faces.runs.analyse.questions.scores import Scores
from rsa_faces.runs.analyse.questions.sets import Sets
from rsa_faces.runs.analyse.questions.stimuli import StimuliChoice
from rsa_faces.runs.analyse.questions.topography import Topography
from rsa_faces.runs.analyse.questions.traits import Traits
from rsa_faces.runs.analyse.questions.transfer import Transfer
from rsa_faces.runs.analyse.questions.verification import Verification

#: Every question; the configuration takes these.
QUESTIONS: tuple[type[Question], ...] = (
    Readout,
    Transfer,
    Congruence,
    Groups,
    Components,
    Scores,
    Map,
    Agreement,
    Robustness,
    Confidence,
    Topography,
    Background,
    StimuliChoice,
    Landmarks,
    FaceSpace,
    Axes,
    Traits,
    Averageness,
    Encoding,
    Sets,
    Individuation,
    Erasure,
    Occlusion,
    Attribution,
    Homophily,
    Membership,
    Verification,
    LandmarkGain,
    Movement,
    MovementAdds,
    Moments,
    Light,
)

#: Any of them, told apart by `analysis`.
AnyQuestion: Any = Annotated[reduce(or_, QUESTIONS), Field(discriminator="analysis")]

__all__ = ["QUESTIONS", "AnyQuestion", "Question", "Study"]
