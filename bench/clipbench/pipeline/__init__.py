"""One run from start to result: poison, train, evaluate, record; skips finished stages."""
