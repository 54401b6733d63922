"""Models of open_clip and clipbench: creating, saving, loading, computing features."""
