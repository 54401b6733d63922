"""Images: safe decoding, encoding like the neighboring images, resizing."""
