"""Calls into plugins: data goes out read-only, and what comes back is checked.

What is handed out is read-only, or a copy. What comes back is checked before it is used. An error
inside someone else's plugin becomes one line that names the plugin's file and line; an error in one
of ours keeps its traceback, because it is our bug.
"""
