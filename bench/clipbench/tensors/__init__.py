"""Files of arrays and tensors, read without executing anything in them."""
