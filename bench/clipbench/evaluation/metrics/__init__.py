"""Metrics by plugin, one a file, beside those that every row has."""
