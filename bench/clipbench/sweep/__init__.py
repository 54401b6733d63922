"""Many runs as one piece of work: planned first, done in parallel, taken up where it stopped."""
