"""What defenses are made of: losses, pools, mixtures, outlier scores, schedules."""
