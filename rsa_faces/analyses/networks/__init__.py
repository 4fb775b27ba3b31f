"""Networks beside each other: agreement, maps, membership, topography."""
