"""Commands on sets of shards."""
