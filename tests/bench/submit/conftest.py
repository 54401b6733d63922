"""Results of configurations that this version resolves."""

from resolved_results import make_result, seal

__all__ = ["make_result", "seal"]
