"""Results of runs: checked, stored, found, and named."""
