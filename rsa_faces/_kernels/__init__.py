"""Compiled loops; nothing here knows of conditions or names."""
