"""Charts of results: what is drawn, how each defense looks, and two ways of drawing."""
