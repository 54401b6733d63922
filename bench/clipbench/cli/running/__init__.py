"""Commands that train, poison and measure."""
