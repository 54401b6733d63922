"""Grids of runs: planned, executed in parallel, resumed."""
