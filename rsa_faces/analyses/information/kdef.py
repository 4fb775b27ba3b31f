"""What the file names of the Karolinska Directed Emotional Faces say."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from rsa_faces._core.errors import InputError


def kdef_table(names: Iterable[str]) -> pd.DataFrame:
    """Read what is shown from the file names of the Karolinska Directed Emotional Faces.

    Parameters
    ----------
    names : iterable of str
        File names or stimulus ids such as "AF01ANS" or "BM12HAHL.JPG", with or without folder.

    Returns
    -------
    DataFrame
        Indexed by the name without folder and ending: ``session`` (A, B), ``gender``, ``identity``
        ("F01"), ``expression`` (afraid, angry, disgusted, happy, neutral, sad, surprised),
        ``view`` (degrees, from -90, full left profile, to 90).

    Raises
    ------
    InputError
        If a name is not of this form (up to five are shown).

    See Also
    --------
    readout : Read labels from frozen features with one linear layer, cross-validated.

    References
    ----------
    .. [1] Lundqvist D., Flykt A., Öhman A. (1998). The Karolinska Directed Emotional Faces (KDEF),
       Karolinska Institutet.
    .. [2] Goeleven E. et al. (2008). Cognition and Emotion 22, 1094-1118.
       doi:10.1080/02699930701626582

    Examples
    --------
    >>> from rsa_faces.analyses import kdef_table
    >>> kdef_table(["AF01ANS.JPG", "BM12HAHL.JPG"])
            session  gender identity expression  view
    name
    AF01ANS       A  female      F01      angry     0
    BM12HAHL      B    male      M12      happy   -45
    """
    expressions = {
        "AF": "afraid",
        "AN": "angry",
        "DI": "disgusted",
        "HA": "happy",
        "NE": "neutral",
        "SA": "sad",
        "SU": "surprised",
    }
    views = {"FL": -90, "HL": -45, "S": 0, "HR": 45, "FR": 90}
    form = re.compile(
        rf"([AB])([FM])(\d\d)({'|'.join(expressions)})({'|'.join(views)})", re.IGNORECASE
    )
    rows, bad = {}, []
    for name in names:
        stem = str(name).replace("\\", "/").rsplit("/", 1)[-1]
        stem = re.sub(r"\.(jpe?g|png|tiff?|bmp)$", "", stem, flags=re.IGNORECASE)
        match = form.fullmatch(stem)
        if match is None:
            bad.append(str(name))
            continue
        session, sex, number, expression, view = (part.upper() for part in match.groups())
        rows[stem] = {
            "session": session,
            "gender": {"F": "female", "M": "male"}[sex],
            "identity": f"{sex}{number}",
            "expression": expressions[expression],
            "view": views[view],
        }
    if bad or not rows:
        raise InputError(
            "expected file names of KDEF such as 'AF01ANS.JPG' (session, gender, number, "
            f"expression, view), got {len(bad)} others: {', '.join(map(repr, bad[:5]))}."
        )
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
