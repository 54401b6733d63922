"""One run: what it is made of and will take, its stages one by one, and its result."""
