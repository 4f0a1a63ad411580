"""Tests which images the rebuild check builds again, and which results it stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.docker.build import Images
from lake_ci.checks.docker.engine import Engine
from lake_ci.checks.docker.reproducibility import (
    RebuildCheck,
    VerifiedIds,
    copy_context,
)
from lake_ci.model.results import Outcome, Status
from lake_ci.model.settings import Docker
from lake_ci.runner.check import CheckContext


class Recording(RebuildCheck):
    """A rebuild check that records builds instead of running them."""

    def __init__(
        self, images: Images, layers: dict[str, list[str]], shown: set[str]
    ) -> None:
        super().__init__(images)
        self.layers = layers
        self.shown = shown
        self.built: list[tuple[list[str], str]] = []

    def _layers(self, target: str, tag: str = "checked") -> list[str]:
        return self.layers[target]

    def _rebuild(
        self, targets: object, known: VerifiedIds, ctx: CheckContext, how: str
    ) -> Outcome:
        assert isinstance(targets, list)
        self.built.append((targets, how.partition("=*")[2].partition("=")[0] or how))
        ids = [layer for target in targets for layer in self.layers[target]]
        known.add_layers(
            ids
            if how == "--no-cache"
            else [layer for layer in ids if layer in self.shown]
        )
        return Outcome(Status.SUCCESS, "the same")


@pytest.fixture
def known(ctx: CheckContext, monkeypatch: pytest.MonkeyPatch) -> VerifiedIds:
    monkeypatch.setattr(
        "lake_ci.checks.docker.reproducibility.base_layers", lambda images, ctx: 0
    )
    path = ctx.root / ".cache/docker/proven.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return VerifiedIds(path)


Start = Callable[..., Recording]


@pytest.fixture
def rebuild_check(ctx: CheckContext, settings: Docker) -> Start:
    """Return a function that creates the rebuild check of images with these layers."""

    def start(layers: dict[str, list[str]], shown: set[str] | None = None) -> Recording:
        images = Images(
            Engine(ctx, "0123"),
            tuple(layers),
            settings,
        )
        images.ids.update({target: f"id-{target}" for target in layers})
        return Recording(images, layers, shown or set())

    return start


def test_new_layers_of_dependencies_are_built_without_any_cache(
    ctx: CheckContext, known: VerifiedIds, rebuild_check: Start
) -> None:
    known.add_layers(["packages"])
    tool = rebuild_check({"api": ["new", "newer"], "prod": ["packages", "code"]})
    assert tool.run(ctx).status is Status.SUCCESS
    assert tool.built == [(["api", "prod"], "--no-cache")]


def test_new_code_of_the_project_is_rebuilt_on_verified_layers(
    ctx: CheckContext, known: VerifiedIds, rebuild_check: Start
) -> None:
    known.add_layers(["packages", "tools"])
    tool = rebuild_check(
        {"api": ["packages", "code"], "dev": ["packages", "tools"]},
        shown={"code"},
    )
    outcome = tool.run(ctx)
    assert tool.built == [(["api"], ".args.BUILD")]
    assert "verified all layers but" in outcome.detail


def test_a_new_layer_that_came_out_of_the_cache_is_built_without_it(
    ctx: CheckContext, known: VerifiedIds, rebuild_check: Start
) -> None:
    known.add_layers(["packages"])
    tool = rebuild_check({"dev": ["packages", "tools"]})
    tool.run(ctx)
    assert tool.built == [(["dev"], ".args.BUILD"), (["dev"], "--no-cache")]


def test_nothing_is_built_where_each_layer_or_the_very_image_is_known(
    ctx: CheckContext, known: VerifiedIds, rebuild_check: Start
) -> None:
    known.add_layers(["packages"])
    tool = rebuild_check({"api": ["packages"]})
    assert "verified all layers" in tool.run(ctx).detail
    known.add({"id-prod": "prod 0123"})
    other = rebuild_check({"prod": ["unknown"]})
    assert "prod 0123" in other.run(ctx).detail
    assert tool.built == other.built == []


@pytest.mark.parametrize("text", ["", "no JSON", "[]", json.dumps({"id": "a digest"})])
def test_a_file_of_another_form_counts_as_nothing_known(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "proven.json"
    path.write_text(text, encoding="utf-8")
    known = VerifiedIds(path)
    assert known.digests() == {} and known.missing(["layer"]) == 1
    known.add_layers(["layer"])
    assert known.missing(["layer", "other"]) == 1


def test_context_has_a_secret_in_each_planted_file_and_no_other_files(
    ctx: CheckContext, settings: Docker, tmp_path: Path
) -> None:
    for name in ("docker/Dockerfile", "src/pond.py", "notes.txt"):
        (ctx.root / name).parent.mkdir(exist_ok=True)
        (ctx.root / name).write_text(name)
    (ctx.root / ".cache/docker/jars").mkdir(parents=True)
    copy_context(settings, ctx, tmp_path / "context", "canary")
    files = {
        path.relative_to(tmp_path / "context").as_posix(): path.read_text()
        for path in (tmp_path / "context").rglob("*")
        if path.is_file()
    }
    assert files == {
        "docker/Dockerfile": "docker/Dockerfile",
        "src/pond.py": "src/pond.py",
        "src/.env": "canary\n",
    }
