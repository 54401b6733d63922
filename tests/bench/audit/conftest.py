"""The audit that tests of suspects look at."""

from __future__ import annotations

import pytest
from audited import Audited, audit_of_scenes


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """The suspects of a set of drawn scenes, after the shortest training."""
    return audit_of_scenes(tmp_path_factory.mktemp("audited"))
