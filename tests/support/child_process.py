"""Run as children by the tests of eval.core.child: `python -m tests.support.child_process WORD...`."""

import os
import sys
import time
from pathlib import Path

from eval.core.child import end_with_parent, start
from eval.core.errors import UserError


def main(word: str, *about: str) -> None:
    if word == "say":
        print("to standard output")
        print("to standard error", file=sys.stderr)
        print(os.environ.get("GREETING"), "torch" in sys.modules, *about)
    elif word == "refuse":
        raise UserError("the mend")
    elif word == "break":
        raise RuntimeError("a bug")
    elif word == "sleep":
        Path(about[0]).write_text(str(os.getpid()))
        time.sleep(600)
    elif word == "parent":  # of a child of each kind, and of one started otherwise that watches for itself
        folder = Path(about[0])
        for kind in ("forked", "fresh"):
            start(__spec__.name, ["sleep", str(folder / kind)], folder / f"{kind}.log", forked=kind == "forked")
        if os.fork() == 0:
            end_with_parent()
            main("sleep", str(folder / "watching"))
        time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
