"""What clips show beyond their average frame: how layers move, and what that explains."""
