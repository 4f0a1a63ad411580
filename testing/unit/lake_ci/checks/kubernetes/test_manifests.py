"""Manifests, with the file and line of each value, are read from the rendering script's
output.
"""

from __future__ import annotations

import json
import threading

import pytest

from lake_ci.checks.kubernetes.manifests import BuildResult, Manifest, Rendered, leaves

CRON_JOB = {
    "kind": "CronJob",
    "metadata": {"name": "processor"},
    "spec": {
        "jobTemplate": {
            "spec": {
                "template": {
                    "spec": {
                        "containers": [
                            {"name": "one", "args": ["run"]},
                            {"name": "two"},
                        ]
                    }
                }
            }
        }
    },
}
CONTAINERS = ("spec", "jobTemplate", "spec", "template", "spec", "containers")
PLACES = {
    (): ("base.yaml", 1),
    (*CONTAINERS, "name=two"): ("base.yaml", 20),
    (*CONTAINERS, "name=one", "args", "0"): ("patch.yaml", 7),
}


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(CRON_JOB, PLACES)


def test_a_value_is_found_by_the_name_of_its_container(manifest: Manifest) -> None:
    assert manifest.place((*CONTAINERS, 0, "args", 0)) == ("patch.yaml", 7)
    assert manifest.step_names((*CONTAINERS, 0, "args"))[-2:] == ["one", "args"]


def test_what_is_not_written_is_placed_at_what_should_hold_it(
    manifest: Manifest,
) -> None:
    assert manifest.place((*CONTAINERS, 1, "resources", "limits")) == ("base.yaml", 20)
    assert manifest.place(("metadata", "labels", "x")) == ("base.yaml", 1)
    assert Manifest(CRON_JOB).place(("kind",)) == (None, None)


def test_a_finding_names_the_object(manifest: Manifest) -> None:
    found = manifest.finding("practices dev", "rule", "says why", (*CONTAINERS, 1))
    assert (found.file, found.line, found.message) == (
        "base.yaml",
        20,
        "CronJob/processor: says why",
    )


def test_containers_come_with_their_paths(manifest: Manifest) -> None:
    assert [
        (path[-1], container["name"]) for path, container in manifest.containers()
    ] == [
        (0, "one"),
        (1, "two"),
    ]
    assert (
        list(Manifest({"kind": "Service", "metadata": {"name": "x"}}).containers())
        == []
    )


def test_leaves_are_single_values_with_their_paths() -> None:
    thing = {"a": [{"b": 1}, 2], "c": None}
    assert list(leaves(thing)) == [(("a", 0, "b"), 1), (("a", 1), 2), (("c",), None)]


def test_what_the_script_prints_is_read_with_its_places_and_deletions() -> None:
    deleted = {
        "kind": "NetworkPolicy",
        "name": "default-deny",
        "file": "k8s/overlays/dev/x.yaml",
        "line": 4,
    }
    text = json.dumps(
        {
            "objects": [{"object": CRON_JOB, "places": [[[], "a.yaml", 3]]}],
            "deleted": [deleted],
        }
    )
    rendered = Rendered.from_json("dev", "made.yaml", text)
    found = rendered.named("CronJob", "processor")
    assert found is not None and found.place() == ("a.yaml", 3)
    assert rendered.named("CronJob", "other") is None
    assert [each.id for each in rendered.workloads()] == ["CronJob/processor"]
    gone = rendered.missing("practices dev", "network-policy", "gone", "NetworkPolicy")
    assert (gone.file, gone.line) == ("k8s/overlays/dev/x.yaml", 4)
    never = rendered.missing(
        "practices dev", "pod-security", "never there", "Namespace"
    )
    assert (never.file, never.line) == ("k8s/overlays/dev/kustomization.yaml", 1)


def test_those_who_wait_for_a_build_get_its_first_word() -> None:
    result = BuildResult()
    got: list[Rendered | None] = []
    waiting = threading.Thread(target=lambda: got.append(result.wait()))
    waiting.start()
    rendered = Rendered("dev", "made.yaml", ())
    result.set(rendered)
    result.set(None)
    waiting.join(60)
    assert got == [rendered]
