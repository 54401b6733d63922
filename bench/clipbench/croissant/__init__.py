"""Croissant metadata of a set of shards."""
