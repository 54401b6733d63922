"""From the pairs of a set to batches of views."""
