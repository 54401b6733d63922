"""Building blocks of defenses: losses, pools, mixtures, outlier scores, image hashes, schedules."""
