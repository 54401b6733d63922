"""WebDataset shards: writing, indexing, random-access reading, manifests, hashes."""
