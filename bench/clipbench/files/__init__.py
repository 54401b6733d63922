"""File formats: JSON, YAML, tar, Parquet; untrusted files are read within limits."""
