"""Where work is done that is no run's own: this machine, a Slurm, a Dask cluster, a site's own."""
