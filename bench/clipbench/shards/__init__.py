"""WebDataset shards: write, index, read, poison copy-on-write, verify."""
