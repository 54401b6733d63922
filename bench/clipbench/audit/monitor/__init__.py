"""Watching deliveries: is a new one like the pairs that were audited?"""
