"""A result is taken into a folder of results."""
