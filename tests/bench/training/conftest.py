"""What the tests of training share; in a module of its own, because other processes import it too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "helpers"))
