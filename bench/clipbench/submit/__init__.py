"""Accepting a result into a folder of results."""
