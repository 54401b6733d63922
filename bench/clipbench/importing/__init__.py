"""Turning image files, tables and annotations into shards, and finding unusable pairs."""
