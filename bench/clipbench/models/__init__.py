"""Models of open_clip and clipbench: made, saved, loaded, and the features they compute."""
