"""The training loop: engine, learner, optimizer, scoring; it knows nothing of the attack."""
