"""Which defense holds best: attacks beside defenses, their ranks, and what was found in words."""
