"""The inventory: what is in a set, what in it can't be used, and what comes more than once."""
