"""
Components of a face space
==========================

What the first components of shape and of appearance change, in 18 simulated faces (nobody's). See
:func:`rsa_faces.figures.plot_components`.
"""

import rsa_faces as rf

faces = rf.datasets.simulated_faces().stimuli.query("expression == 'neutral' and yaw == 0")
crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")
points = rf.networks.detect_landmarks(crops, device="cpu")
space = rf.analyses.face_space(
    crops, dict(zip(crops.ids, points, strict=True)), n_shape=8, n_appearance=8, progress=False
)
rf.figures.plot_components(space, 2)
