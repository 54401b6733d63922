"""Text for people: made safe to show, whoever wrote it."""
