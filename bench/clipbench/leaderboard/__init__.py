"""Leaderboard: results on disk, tables and plots derived from them."""
