"""Types of parameters: from text to values, and the range in which each must lie."""
