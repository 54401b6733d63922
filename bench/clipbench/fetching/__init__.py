"""Finding shards: paths, patterns, addresses and pipes become local files."""
