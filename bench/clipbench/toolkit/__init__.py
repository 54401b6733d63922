"""Building blocks of defenses: losses, pools, mixtures, outlier scores, schedules."""
