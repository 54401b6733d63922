"""Files of numbers: arrays and tensors, read without running anything in them."""
