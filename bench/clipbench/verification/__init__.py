"""Checks that a set of shards is what its manifest and ledger say."""
