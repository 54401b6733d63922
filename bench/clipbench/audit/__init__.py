"""Auditing pairs before training: exposure, price, suspects, thresholds; watching deliveries."""
