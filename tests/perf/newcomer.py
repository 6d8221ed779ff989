"""How long it takes from `pip install` to the first verdict on a loss of one's own: docs/tutorial.md, timed.

``python tests/perf/newcomer.py`` follows the page until its first verdict, in a folder and an environment of their own:
it installs this checkout and all that it depends on, writes the files and types the commands. Reading is not counted.
With ``--installed`` the environment is that of this interpreter, and the installation is left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.pages import Command, File, files, steps  # noqa: E402

LAST = "python -m analysis verdict"


def main() -> None:
    """Follow the page, and print what each command took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--installed", action="store_true", help="leave the installation out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        print(f"load before the first command: {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores\n")
        print("| command | wall | processor |\n|---|---|---|", flush=True)
        path = Path(sys.executable).parent if options.installed else Path(place, "environment", "bin")
        if not options.installed:
            subprocess.run([sys.executable, "-m", "venv", path.parent], check=True)
        seconds = 0.0
        for step in steps("docs/tutorial.md"):
            if isinstance(step, File):
                (folder / step.name).write_text(step.text, encoding="utf-8")
            elif step.words[0] == "cd":
                folder /= step.words[1]
                for name in ("write_digits.py", "my_benchmark.py"):
                    (folder / name).write_text(files("docs/benchmark.md")[name], encoding="utf-8")
            elif not (options.installed and step.words[0] == "pip"):
                seconds += timed(step, folder, path)
            if str(step) == LAST:
                break
    print(f"\nfrom the first command to the first verdict: {seconds / 60:.1f} minutes")


def timed(command: Command, folder: Path, path: Path) -> float:
    """Carry a command out, print what it took, and return the seconds of wall time."""
    words = [word.replace("PATH-OF-THE-CHECKOUT", str(ROOT)) for word in command.words]
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    variables["PATH"] = f"{path}{os.pathsep}{variables['PATH']}"
    began, spent = time.monotonic(), processor_seconds()
    ended = subprocess.run([path / words[0], *words[1:]], cwd=folder, env=variables, capture_output=True, text=True)
    seconds = time.monotonic() - began
    print(f"| `{command}` | {seconds:.1f} s | {processor_seconds() - spent:.1f} s |", flush=True)
    if ended.returncode != 0:
        sys.exit(ended.stdout + ended.stderr)
    if command.target:
        (folder / command.target).write_text(ended.stdout, encoding="utf-8")
    return seconds


def processor_seconds() -> float:
    """Return the processor seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
