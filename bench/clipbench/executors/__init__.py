"""Where the jobs of a sweep run: this machine, Slurm, Dask, or an executor of your own."""
