"""Poisoned sets: which pairs, at which rate, written so that nothing gives them away."""
