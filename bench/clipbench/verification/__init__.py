"""Whether a set of shards, clean or poisoned, is what it says."""
