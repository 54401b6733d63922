"""Regression checks: a small grid of runs, and the bands that its numbers must lie in."""
