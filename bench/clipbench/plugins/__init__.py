"""Plugins: how they are named, found, imported, built and described."""
