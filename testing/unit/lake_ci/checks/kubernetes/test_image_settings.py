"""The settings of images are read completely. If a setting has a wrong name, the error
contains this name.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lake_ci.checks.kubernetes.image_settings import TABLE, read_images
from lake_ci.errors import UsageError

PROJECT = """\
[tool.lake_ci.k8s]
secrets = ["tokens"]

[tool.lake_ci.k8s.programs.shop]
code = ["utils/shop"]
settings = { SHOP_ = "utils/shop/settings.py:SETTINGS" }
grace = "SHOP_GRACE"

# shop-nightly is the first
[tool.lake_ci.k8s.images]
shop-nightly = { program = "shop", environment = { SHOP_ENGINE = "spark" } }
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "utils/shop").mkdir(parents=True)
    (tmp_path / "utils/shop/settings.py").write_text(
        'SETTINGS: M = {"engine": "which", "grace": "seconds"}\n'
    )
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


def test_an_image_is_what_its_program_reads_and_what_it_needs(root: Path) -> None:
    [(name, image)] = read_images(root).items()
    assert (name, image.environment) == ("shop-nightly", {"SHOP_ENGINE": "spark"})
    assert image.program.reads == {"SHOP_ENGINE", "SHOP_GRACE"}
    assert (image.program.name, image.program.grace) == ("shop", "SHOP_GRACE")


def test_a_project_without_images_has_none(root: Path) -> None:
    (root / "pyproject.toml").write_text("[tool.lake_ci.k8s]\n")
    assert read_images(root) == {}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('["utils/shop"]', '["utils/shpo"]', r"programs.shop\]: .*'utils/shpo'"),
        (":SETTINGS", ":OPTIONS", r"programs.shop\]: .* class OPTIONS"),
        ("shop/settings", "shop/gone", r"programs.shop\]: .*'utils/shop/gone.py'"),
        ('"SHOP_GRACE"', '"SHOP_PAUSE"', "'SHOP_PAUSE', which shop does not read"),
        ("SHOP_ENGINE =", "SHOP_ENGIN =", "'SHOP_ENGIN', which shop does not read"),
        ('program = "shop"', 'program = "shpo"', "'shpo'; known: shop"),
        ("programs.shop]", "programs.sho]", "program is 'shop'; known: sho"),
    ],
)
def test_a_setting_of_what_is_not_there_is_refused(
    root: Path, old: str, new: str, words: str
) -> None:
    assert old in PROJECT
    (root / "pyproject.toml").write_text(PROJECT.replace(old, new))
    with pytest.raises(UsageError, match=rf"^pyproject.toml: \[{TABLE}.*{words}"):
        read_images(root)


def test_a_program_that_no_image_runs_is_refused(root: Path) -> None:
    more = '[tool.lake_ci.k8s.programs.shop-api]\ncode = ["utils/shop"]\n'
    (root / "pyproject.toml").write_text(PROJECT + more)
    with pytest.raises(UsageError, match=r"programs.shop-api\]: no image uses it"):
        read_images(root)
