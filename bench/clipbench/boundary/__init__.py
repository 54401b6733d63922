"""Where the bench calls plugins: the one place that hands data out and takes results in.

What is handed out is read-only, or a copy. What comes back is checked before anything is made of
it. An error inside a plugin that is not part of clipbench is told in one line that names the
plugin's file and line; one of our own plugins stays what it is, for it is our bug.
"""
