"""Trial-by-trial comparison of two defenses."""
