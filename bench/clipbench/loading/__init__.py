"""Batches for training: from pairs in shards to augmented views."""
