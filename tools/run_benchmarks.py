"""Runs the benchmarks, each in a process of its own: what `make bench` calls.

usage: run_benchmarks.py [NAME…]      for instance: make bench BENCH="site script"
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "benchmarks"


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; return 1 if one failed."""
    known = {path.stem.removeprefix("bench_"): path for path in sorted(FOLDER.glob("bench_*.py"))}
    if unknown := [name for name in names if name not in known]:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    for name in names or known:
        print(f"\n── {name} {'─' * (70 - len(name))}", flush=True)
        command = [sys.executable, "-m", f"tests.benchmarks.bench_{name}"]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
