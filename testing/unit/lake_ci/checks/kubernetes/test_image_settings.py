"""The settings of the images are read completely, or rejected by name."""

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

[tool.lake_ci.docker]
shop-other = 1
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
        ('["utils/shop"]', '"utils/shop"', r"programs.shop\]: code is not a list"),
        (":SETTINGS", ":OPTIONS", r"programs.shop\]: .* class OPTIONS"),
        ("shop/settings", "shop/gone", r"programs.shop\]: .*'utils/shop/gone.py'"),
        ('"SHOP_GRACE"', '"SHOP_PAUSE"', "'SHOP_PAUSE', which shop does not read"),
        ("grace =", "grase =", "unknown setting 'grase'; known: code"),
        ("SHOP_ENGINE =", "SHOP_ENGIN =", "'SHOP_ENGIN', which shop does not read"),
        ("environment =", "environ =", "unknown setting 'environ'"),
        ('"spark"', "1", "environment is not a table of strings"),
        ('program = "shop"', 'program = "shpo"', "'shpo'; known: shop"),
        ("program = ", "programme = ", "unknown setting 'programme'"),
        ("programs.shop]", "programs.sho]", "program is 'shop'; known: sho"),
        ('{ program = "shop",', "{", "program is None; known: shop"),
        ("images]", "programs.x]", "unknown setting 'shop-nightly'"),
        ("images]", "image]", r"\]: unknown setting 'image'; known: versions"),
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


@pytest.mark.parametrize("key", ["programs", "images"])
def test_a_setting_that_is_no_table_is_refused(root: Path, key: str) -> None:
    (root / "pyproject.toml").write_text(f"[tool.lake_ci.k8s]\n{key} = 1\n")
    with pytest.raises(UsageError, match=rf"{key}\]: is not a table"):
        read_images(root)
    (root / "pyproject.toml").write_text(f"[tool.lake_ci.k8s]\n{key}.x = 1\n")
    with pytest.raises(UsageError, match=rf"{key}.x\]: is not a table"):
        read_images(root)
