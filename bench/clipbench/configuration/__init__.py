"""What a person asks for, and the run that it becomes: everything that decides its numbers."""
