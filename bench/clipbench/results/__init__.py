"""Results of runs: their schema, storage, lookup and labels."""
