"""The leaderboard as one web page that needs nothing else: table, charts, triggers and details."""
