"""Files: written whole or not at all, and read so that none of a stranger's can do harm."""
