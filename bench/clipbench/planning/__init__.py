"""What a run will do and how long it takes, told before it begins."""
