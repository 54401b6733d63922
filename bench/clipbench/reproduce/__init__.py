"""Results that others made: resolved, run again, and held against what came out."""
