"""Runs: from a configuration to tables, figures, a report and their provenance."""
