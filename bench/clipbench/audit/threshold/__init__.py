"""Threshold: how many suspects to set aside, from a few labels, or from what planted pairs tell."""
