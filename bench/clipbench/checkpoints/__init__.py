"""What training leaves on disk: checkpoints, the training record, and epoch traces."""
