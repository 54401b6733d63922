"""The plan that is printed before a run, and its time estimate."""
