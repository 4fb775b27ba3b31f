"""Analyses: what features tell beyond their geometry, each question one call."""

from rsa_faces.analyses.readout import Readout, kdef_table, readout, transfer_matrix

__all__ = ["Readout", "kdef_table", "readout", "transfer_matrix"]
