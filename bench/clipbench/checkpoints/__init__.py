"""What a training leaves on disk: checkpoints, its record, and the traces of its epochs."""
