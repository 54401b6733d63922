"""Requests (command line, YAML, environment) and the resolved, hashed run."""
