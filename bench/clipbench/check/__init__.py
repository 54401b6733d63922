"""Regression checks: a small grid of runs, and the bands its numbers must stay in."""
