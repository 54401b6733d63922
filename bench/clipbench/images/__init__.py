"""Images: decoded safely, encoded like their neighbors, and kept."""
