"""Published protocols by name, each a file: all that its authors set, and where we part from it."""
