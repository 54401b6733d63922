"""Two defenses compared trial by trial."""
