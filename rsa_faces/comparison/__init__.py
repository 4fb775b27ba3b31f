"""Comparison of RDMs: how similar a model RDM and a data RDM are."""

from rsa_faces.comparison._compare import align_given, align_pair, compare, max_similarity
from rsa_faces.comparison.methods import METHODS, Method, resolve

__all__ = ["METHODS", "Method", "align_given", "align_pair", "compare", "max_similarity", "resolve"]
