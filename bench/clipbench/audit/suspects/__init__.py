"""Suspects: which pairs a person should look at, why, and a page on which to judge them."""
