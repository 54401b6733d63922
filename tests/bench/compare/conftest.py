"""Results as a run writes them."""

from made_results import bench, make_result

__all__ = ["bench", "make_result"]
