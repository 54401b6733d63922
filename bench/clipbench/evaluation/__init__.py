"""Evaluation: zero-shot, retrieval, attack success, detection, statistics."""
