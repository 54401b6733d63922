"""The machine: disks, locks, processes, threads, signals, processors."""
