"""Fixtures for tests of an image. `nox -s docker` sets environment variables that
define the image under test.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.images.batch import Batch
from testing.images.containers import Engine
from testing.images.reference_lake import ReferenceLake


def variable(name: str) -> str:
    """Return the value of an environment variable that the session must set."""
    __tracebackhide__ = True
    value = os.environ.get(name)
    if not value:
        pytest.fail(f"{name} is not set; run `nox -s docker`")
    return value


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Return the engine. After the tests of a module, remove the containers and volumes
    of these tests.
    """
    engine = Engine(variable("LAKE_CI_IMAGE"), variable("LAKE_CI_LABEL"))
    yield engine
    engine.remove()


@pytest.fixture(scope="module")
def scratch() -> Path:
    """Return a folder that the tests of all images share. The session removes the
    folder.
    """
    folder = Path(variable("LAKE_CI_SCRATCH"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def folder(scratch: Path) -> Iterator[Path]:
    """Yield an empty folder for the tests of a module. The folder is in the checkout,
    so that the engine can mount it.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    yield folder
    # Ignore files that this user may not remove; the session removes them.
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def reference(scratch: Path) -> ReferenceLake:
    return ReferenceLake(scratch / "reference")


@pytest.fixture
def batch(engine: Engine, reference: ReferenceLake, folder: Path) -> Batch:
    return Batch(engine, reference, folder)
