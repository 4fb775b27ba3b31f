"""How cells and layers code faces: spaces, axes, decoding."""
