"""`python -m sqlwright` is the command `sqlwright`."""

from __future__ import annotations

import sys

from sqlwright.cli.main import main

sys.exit(main())
