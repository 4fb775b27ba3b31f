"""
Landmarks on an image
=====================

The 68 points that a network which ships finds in a simulated face (nobody's). See
:func:`rsa_faces.figures.plot_landmarks`.
"""

import rsa_faces as rf

faces = rf.datasets.simulated_faces().stimuli.query("expression == 'neutral' and yaw == 0")
crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")
points = rf.networks.detect_landmarks(crops, device="cpu")
rf.figures.plot_landmarks(crops.image(crops.ids[0]), points[0], template="ibug-68")
