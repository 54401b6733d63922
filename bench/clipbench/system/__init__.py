"""The machine: disks, locks, processes, threads, signals, and what processor this is."""
