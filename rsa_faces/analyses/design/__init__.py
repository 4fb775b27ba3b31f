"""Stimuli that tell models apart: chosen or made."""
