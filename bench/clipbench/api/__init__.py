"""What programs call: runs, measurements and tables, by the same way that the command line takes.

The names are those of ``import clipbench as cb``; importing this package alone loads nothing.
"""
