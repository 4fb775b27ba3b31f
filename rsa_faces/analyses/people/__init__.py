"""People and groups: scores, components, links, false matches."""
