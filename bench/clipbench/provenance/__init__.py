"""Results that others made: whether they are what they say, and whether they come out again."""
