"""Croissant metadata (JSON-LD) for a set of shards."""
