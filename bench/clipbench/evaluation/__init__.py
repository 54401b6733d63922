"""Metrics: zero-shot, retrieval, attack success, detection, and their statistics."""
