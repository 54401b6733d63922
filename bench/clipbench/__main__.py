"""``python -m clipbench``, the same as ``clipbench``; what torchrun starts."""

from __future__ import annotations

import sys

from clipbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
