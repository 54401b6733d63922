"""From what a person types to shard files on this machine, wherever they lie."""
