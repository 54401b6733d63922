"""From files, folders and addresses of any kind to shards that can be used."""
