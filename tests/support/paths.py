"""Where tests find things: the repository, and the recorded material beside it where somebody has it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
