"""Poisoned sets: which pairs, at what rate, written so that nothing gives them away."""
