"""Tests that each check of `nox -s k8s` finds a seeded defect and its line, and that no
server is left after a run.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lake_ci.model.results import Status
from testing.acceptance.conftest import (
    ENVDIR,
    LIMIT,
    REPOSITORY,
    Checkout,
    Ran,
    Start,
    wait_until_gone,
    watch,
)
from testing.acceptance.test_terraform import append, below, command_of, line

ENVIRONMENTS = ("production", "staging", "dev", "trial")
PER_ENVIRONMENT = ("build", "schema", "dry-run", "checkov", "practices")
TRIAL = {
    "API server",
    "yaml",
    "overlay tests",
    "settings",
    "staging is production",
    *(f"{each} trial" for each in PER_ENVIRONMENT),
}
ALL = TRIAL | {f"{each} {name}" for each in PER_ENVIRONMENT for name in ENVIRONMENTS}
# The result's rows that compare several environments.
WHOLE = {"settings", "staging is production"}
WORK = ".cache/kubernetes"
PYTHON = ENVDIR / "k8s" / "bin" / "python"
KUBECTL = str(PYTHON.with_name("kubectl"))

pytestmark = pytest.mark.skipif(
    "KUBEBUILDER_ASSETS" not in os.environ and os.environ.get("LAKE_CI_STRICT") != "1",
    reason="KUBEBUILDER_ASSETS names no etcd and kube-apiserver",
)

# Defects in dev. The schemas find some of these defects, and the rules of the project
# find others. Neither the schemas nor these rules check unknown types, so only the
# server finds the defects in objects of unknown types.
DEV = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  template:
    spec:
      containers:
        - name: api
          imagePolicy: Sometimes # unknown
          readinessProbe: null
          resources:
            limits: null
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: processor
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers:
            - name: processor
              resources:
                limits:
                  memory: 4Gb # quantity
---
apiVersion: networking.k8s.io/v1 # dropped
kind: NetworkPolicy
metadata:
  name: default-deny
$patch: delete
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: bucket
spec:
  egress:
    - to:
        - ipBlock:
            cidr: 10.0.0.0/8 # private
"""
# Defects in staging that only the server finds.
STAGING = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  selector:
    matchLabels:
      app.kubernetes.io/name: lake # selector
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: processor
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers:
            - name: processor
              securityContext:
                allowPrivilegeEscalation: true
                privileged: true # privileged
"""


# A setting for the image `lakekit-gone`, which no manifest uses.
GONE = 'lakekit-gone = { program = "lakekit" }\n'


@pytest.fixture
def repository(original: Checkout, tmp_path: Path) -> Checkout:
    return original.copy(tmp_path / "repository")


def servers(repository: Checkout) -> list[Path]:
    """Return the folders that servers have left."""
    return list((repository.root / WORK).glob("server.*"))


def own(**more: str) -> dict[str, str]:
    """Return environment variables that name no cluster, so that the session starts its
    own server.
    """
    return {"KUBE_CONTEXT": "", **more}


def test_the_repository_itself_passes_by_its_own_server(original: Checkout) -> None:
    ran = original.nox("-s", "k8s", env=own())
    ran.assert_only("k8s", failed=set(), rows=ALL)
    assert not ran.result("k8s").partial
    for name in ENVIRONMENTS:
        objects = ran.check("k8s", f"dry-run {name}").detail.split()[0]
        assert int(objects) > 0
        made = (original.root / "reports" / "k8s" / name / "manifests.yaml").read_text(
            encoding="utf-8"
        )
        assert (
            f"namespace: lake-{name}\n" in made
            and "config.kubernetes.io/origin" not in made
        )
    assert servers(original) == []


@pytest.fixture(scope="module")
def seeded(
    original: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ran, dict[str, int]]:
    """Run nox once with all defects that one run can report. Returns the run, and the
    line of each defect.
    """
    repository = original.copy(tmp_path_factory.mktemp("seeded") / "repository")
    for name, text in (("dev", DEV), ("staging", STAGING)):
        overlay = f"k8s/overlays/{name}/kustomization.yaml"
        repository.write(f"k8s/overlays/{name}/seeded.yaml", text)
        repository.replace(
            overlay,
            "  - path: identity.yaml\n",
            "  - path: identity.yaml\n  - path: seeded.yaml\n",
        )
    lines = {
        mark: line(text, f"# {mark}")
        for mark, text in (
            ("unknown", DEV),
            ("quantity", DEV),
            ("dropped", DEV),
            ("private", DEV),
            ("selector", STAGING),
            ("privileged", STAGING),
        )
    }
    dev = repository.root / "k8s/overlays/dev/kustomization.yaml"
    repository.write(
        "k8s/overlays/dev/kustomization.yaml",
        dev.read_text(encoding="utf-8").replace("newTag: 0.1.0", "newTag: latest", 1),
    )
    lines["latest"] = line(dev.read_text(encoding="utf-8"), "latest")
    lines["tab"] = append(
        repository, "k8s/overlays/trial/kustomization.yaml", "\tnamePrefix: x\n"
    )
    lines["key"] = append(
        repository, "k8s/overlays/production/api.env", "LAKEKIT_API_LIMITS=5\n"
    )
    engine = "k8s/overlays/staging/processor.env"
    repository.replace(engine, "LAKEKIT_ENGINE=embedded", "LAKEKIT_ENGINE=spark")
    lines["engine"] = line(
        (repository.root / engine).read_text(encoding="utf-8"), "LAKEKIT_ENGINE"
    )
    size = "k8s/overlays/production/size.yaml"
    repository.replace(
        size, "  minReplicas: 3\n", "  minReplicas: 3\n  minReplicas: 9\n"
    )
    lines["duplicate"] = line(
        (repository.root / size).read_text(encoding="utf-8"), "minReplicas: 9"
    )
    built = [
        {"name": "lakekit-api", "target": "api"},
        {"name": "lakekit-processor", "target": "processor"},
    ]
    repository.write("reports/docker/images.json", json.dumps(built))
    return repository.nox("-s", "k8s", env=own()), lines


def test_defects_fail_their_own_rows(seeded: tuple[Ran, dict[str, int]]) -> None:
    failed = {
        "yaml",
        "build trial",
        "schema dev",
        "dry-run dev",
        "practices dev",
        "checkov dev",
        "practices production",
    }
    failed |= {
        "dry-run staging",
        "practices staging",
        "checkov staging",
        "staging is production",
        "overlay tests",
    }
    skipped = {f"{each} trial" for each in PER_ENVIRONMENT} - {"build trial"}
    skipped.add("settings")
    seeded[0].assert_only("k8s", failed, ALL, skipped)


@pytest.mark.parametrize(
    ("row", "rule", "file", "mark", "words"),
    [
        (
            "yaml",
            "syntax",
            "overlays/trial/kustomization.yaml",
            "tab",
            "cannot start any token",
        ),
        (
            "yaml",
            "key-duplicates",
            "overlays/production/size.yaml",
            "duplicate",
            '"minReplicas"',
        ),
        (
            "schema dev",
            "schema",
            "overlays/dev/seeded.yaml",
            "unknown",
            "'imagePolicy' was unexpected",
        ),
        (
            "checkov dev",
            "CKV_K8S_14",
            "overlays/dev/kustomization.yaml",
            "latest",
            "Deployment/api",
        ),
        (
            "practices dev",
            "network-policy",
            "overlays/dev/seeded.yaml",
            "dropped",
            "NetworkPolicy",
        ),
        (
            "practices dev",
            "egress",
            "overlays/dev/seeded.yaml",
            "private",
            "10.0.0.0/8",
        ),
        (
            "checkov staging",
            "CKV_K8S_16",
            "overlays/staging/seeded.yaml",
            "privileged",
            "CronJob/processor",
        ),
        (
            "practices production",
            "unread-setting",
            "overlays/production/api.env",
            "key",
            "LAKEKIT_API_LIMITS",
        ),
        (
            "practices staging",
            "image-variable",
            "overlays/staging/processor.env",
            "engine",
            "LAKEKIT_ENGINE=embedded",
        ),
        (
            "overlay tests",
            "failure",
            "overlays/staging/processor.env",
            "engine",
            "S3",
        ),
    ],
    ids=[
        "tab",
        "duplicate",
        "unknown",
        "latest",
        "dropped",
        "private",
        "privileged",
        "unread",
        "engine",
        "bucket",
    ],
)
def test_finds_a_defect_that_is_written_down(
    seeded: tuple[Ran, dict[str, int]],
    row: str,
    rule: str,
    file: str,
    mark: str,
    words: str,
) -> None:
    ran, lines = seeded
    found = ran.finding("k8s", row, rule)
    assert (found.file, found.line) == (f"k8s/{file}", lines[mark])
    assert words in found.message


def test_finds_what_a_container_lacks_at_the_container(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    ran, _ = seeded
    api = line(
        (REPOSITORY / "k8s/base/api.yaml").read_text(encoding="utf-8"),
        "- name: api\n"[:-1],
    )
    for rule, words in (
        ("CKV_K8S_9", "Readiness Probe"),
        ("CKV_K8S_11", "CPU limits"),
        ("CKV_K8S_13", "Memory limits"),
    ):
        found = ran.finding("k8s", "checkov dev", rule)
        assert found.file == "k8s/base/api.yaml" and words in found.message
        assert found.line is not None and found.line >= api
    limits = ran.finding("k8s", "practices dev", "missing-limits")
    assert limits.file == "k8s/base/api.yaml"
    assert "ephemeral-storage" in limits.message


def test_the_server_refuses_what_no_schema_knows(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    ran, lines = seeded
    told = {
        (each.file, each.line): each.message
        for each in ran.check("k8s", "dry-run dev").findings
    }
    dev = "k8s/overlays/dev/seeded.yaml"
    assert "field not declared in schema" in told[dev, lines["unknown"]]
    assert "quantities must match" in told[dev, lines["quantity"]]
    refused = ran.finding("k8s", "dry-run staging", "Invalid")
    assert "`selector` does not match template `labels`" in refused.message
    assert refused.file == "k8s/base/api.yaml"
    assert ran.check("k8s", "schema staging").status is Status.SUCCESS


def test_the_level_of_the_namespace_reports_a_privileged_container(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    ran, lines = seeded
    found = ran.finding("k8s", "dry-run staging", "warning")
    assert found.message.startswith("CronJob/processor: ")
    assert "restricted" in found.message
    assert (found.file, found.line) == (
        "k8s/overlays/staging/seeded.yaml",
        lines["privileged"],
    )


def test_finds_an_image_that_docker_did_not_build(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    found = seeded[0].finding("k8s", "practices production", "unknown-image")
    overlay = "k8s/overlays/production/kustomization.yaml"
    said = (REPOSITORY / overlay).read_text(encoding="utf-8").splitlines()
    assert found.file == overlay and found.line is not None
    assert "lakekit-prod" in said[found.line - 2]
    assert "lakekit-api" in found.message and "lakekit-processor" in found.message


def test_finds_that_staging_is_not_as_production(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    ran, lines = seeded
    places = {
        (each.file, each.line)
        for each in ran.check("k8s", "staging is production").findings
    }
    assert ("k8s/overlays/staging/seeded.yaml", lines["privileged"]) in places
    assert ("k8s/overlays/production/api.env", lines["key"]) in places


def test_finds_settings_of_what_no_environment_has(repository: Checkout) -> None:
    project = "pyproject.toml"
    for old, new in (
        ('secrets = ["api-tokens",', 'secrets = ["gone-tokens", "api-tokens",'),
        ('may_differ = [\n  "*.con', 'may_differ = [\n  "Gone.*",\n  "*.con'),
        ("[tool.lake_ci.k8s.images]\n", "[tool.lake_ci.k8s.images]\n" + GONE),
        ("CKV_K8S_43 =", 'CKV_K8S_1 = "never broken"\nCKV_K8S_43 ='),
    ):
        repository.replace(project, old, new)
    ran = repository.nox("-s", "k8s", env=own())
    ran.assert_only("k8s", WHOLE, ALL)
    text = (repository.root / project).read_text(encoding="utf-8")
    for row, rule, mark in (
        ("settings", "unused-image", "lakekit-gone"),
        ("settings", "unused-secret", "gone-tokens"),
        ("settings", "unused-rule", "CKV_K8S_1 "),
        ("staging is production", "unmatched", "Gone.*"),
    ):
        found = ran.finding("k8s", row, rule)
        assert (found.file, found.line) == (project, line(text, mark))
        assert mark.strip() in found.message
    repository.replace(project, 'code = ["utils/lakekit"]', 'code = ["utils/gone"]')
    ran = repository.nox("-s", "k8s", env=own())
    assert ran.code == 1
    [found] = ran.check("k8s", "session").findings
    assert "[tool.lake_ci.k8s.programs.lakekit]" in found.message
    assert "'utils/gone'" in found.message


def test_an_api_server_that_does_not_start_says_so_with_its_own_words(
    repository: Checkout, tmp_path: Path
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name, words in (("etcd", "no space left"), ("kube-apiserver", "not asked")):
        (assets / name).write_text(
            f"#!/bin/sh\necho '{words}' >&2\nexit 7\n", encoding="utf-8"
        )
        (assets / name).chmod(0o755)
    ran = repository.nox(
        "-s",
        "k8s",
        "--",
        "--environment",
        "trial",
        env=own(KUBEBUILDER_ASSETS=str(assets)),
    )
    ran.assert_only("k8s", {"API server"}, TRIAL, {"dry-run trial", *WHOLE})
    [found] = ran.check("k8s", "API server").findings
    assert re.search(r"\b7$", found.message, re.MULTILINE)
    assert "no space left" in found.message or "not asked" in found.message
    assert servers(repository) == []


def test_without_a_server_it_is_said_what_was_not_checked(
    repository: Checkout, tmp_path: Path
) -> None:
    # The session must never use the current context of the kubeconfig.
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: chance\n", encoding="utf-8"
    )
    none = own(KUBEBUILDER_ASSETS="", KUBECONFIG=str(config), LAKE_CI_STRICT="")
    ran = repository.nox("-s", "k8s", "--", "--environment", "trial", env=none)
    row = ran.check("k8s", "API server")
    assert (row.status, ran.code) == (Status.WARNING, 0)
    assert row.not_checked
    assert "KUBE_CONTEXT" in row.detail and "KUBEBUILDER_ASSETS" in row.detail
    assert ran.rows("k8s")["dry-run trial"] == "skipped"
    strict = repository.nox(
        "-s", "k8s", "--", "--environment", "trial", env=none | {"LAKE_CI_STRICT": "1"}
    )
    assert (strict.rows("k8s")["API server"], strict.code) == ("failure", 1)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a server for the test, and write a kubeconfig file. A context in this file
    uses the server as its cluster.
    """
    assets = os.environ["KUBEBUILDER_ASSETS"]
    with subprocess.Popen(
        [
            str(PYTHON),
            "scripts/serve_kubernetes.py",
            str(tmp_path / "cluster"),
            "--assets",
            assets,
        ],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin and server.stdout
        said = json.loads(server.stdout.readline())
        config = tmp_path / "kubeconfig"
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {
                        "server": said["url"],
                        "certificate-authority": said["ca"],
                    },
                }
            ],
            "users": [{"name": "test", "user": {"token": said["token"]}}],
            "contexts": [
                {"name": "test", "context": {"cluster": "test", "user": "test"}}
            ],
        }
        config.write_text(json.dumps(body), encoding="utf-8")
        yield {
            "KUBECONFIG": str(config),
            "KUBE_CONTEXT": "test",
            "KUBEBUILDER_ASSETS": "",
        }
        server.stdin.close()
        server.wait(LIMIT)


def test_a_named_cluster_is_asked_and_never_written_to(
    repository: Checkout, cluster: dict[str, str]
) -> None:
    trial = ("-s", "k8s", "--", "--environment", "trial")
    ran = repository.nox(*trial, env=cluster | {"LAKE_CI_STRICT": ""})
    assert ran.rows("k8s")["API server"] == "success", ran.output
    row = ran.check("k8s", "dry-run trial")
    assert row.status is Status.WARNING and row.not_checked
    assert "lake-trial" in row.not_checked
    assert (
        "kubectl apply -k k8s/overlays/trial -l app.kubernetes.io/component=namespace"
        in row.not_checked
    )
    kubectl = [KUBECTL, "--context=test"]
    env = {**os.environ, **cluster}
    ask = [*kubectl, "get", "namespaces", "--output=name"]
    before = subprocess.run(
        ask, env=env, check=True, capture_output=True, text=True
    ).stdout
    assert "lake-trial" not in before
    apply = [
        *kubectl,
        "apply",
        "-k",
        "k8s/overlays/trial",
        "-l",
        "app.kubernetes.io/component=namespace",
    ]
    subprocess.run(apply, cwd=repository.root, env=env, check=True, capture_output=True)
    ran = repository.nox(*trial, env=cluster)
    ran.assert_only("k8s", set(), TRIAL, WHOLE)
    detail = ran.check("k8s", "dry-run trial").detail
    assert detail.split()[0] == "16" and detail.endswith("context test")
    ask = [
        *kubectl,
        "get",
        "deployments,cronjobs,configmaps",
        "--namespace=lake-trial",
        "--output=name",
    ]
    kept = subprocess.run(
        ask, env=env, check=True, capture_output=True, text=True
    ).stdout
    assert "deployment" not in kept and "settings" not in kept
    ran = repository.nox("-s", "k8s", "--", "--diff", "trial", env=cluster)
    ran.assert_only("k8s", set(), {"diff trial"})
    assert ran.check("k8s", "diff trial").detail.split()[0] == "15"
    assert "+kind: CronJob" in ran.output


def test_a_diff_without_a_cluster_says_how_to_name_one(repository: Checkout) -> None:
    ran = repository.nox("-s", "k8s", "--", "--diff", "production", env=own())
    [found] = ran.check("k8s", "diff production").findings
    assert "KUBE_CONTEXT=NAME nox -s k8s -- --diff production" in found.message


def started(
    repository: Checkout, start: Start
) -> tuple[subprocess.Popen[str], dict[int, str]]:
    """Start a run, and wait until its server gets requests. Returns nox's process, and
    the command line of each of its child processes by id.
    """
    repository.git("init", "--quiet")
    nox = start(
        repository, "--envdir", str(ENVDIR), "-s", "k8s", "--", "--environment", "trial"
    )
    assert nox.stdout
    for text in nox.stdout:
        if "API server" in text:
            break
    # The row of the server does not prove that both programs are listed already.
    words = ""
    for _ in range(LIMIT * 10):
        processes = {pid: command_of(pid) for pid in below(nox.pid)}
        words = " ".join(processes.values())
        if "/etcd " in words and "/kube-apiserver " in words:
            return nox, processes
        time.sleep(0.1)
    pytest.fail(f"not all programs of the server run: {words}")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name
)
def test_a_signal_ends_the_server_and_leaves_no_folder(
    repository: Checkout, start: Start, number: signal.Signals
) -> None:
    nox, processes = started(repository, start)
    watched = watch(processes)
    nox.send_signal(number)
    wait_until_gone(watched)
    nox.communicate(timeout=LIMIT)
    assert nox.returncode == 130
    assert Ran(130, "", repository.root).result("k8s").cause == "interrupted"
    assert servers(repository) == []


def test_the_next_run_removes_what_a_killed_one_left(
    repository: Checkout, start: Start
) -> None:
    nox, processes = started(repository, start)
    # If only nox were killed, its child processes would stop the server: the watcher,
    # and below it `serve_kubernetes.py`. Kill both as well, so that the server remains.
    # nox is stopped first, so that it does not react to their end.
    keepers = [
        pid for pid, command in processes.items() if "serve_kubernetes.py" in command
    ]
    left = {
        pid: os.pidfd_open(pid)
        for pid, command in processes.items()
        if "/etcd " in command or "/kube-apiserver " in command
    }
    assert len(keepers) == 2
    os.kill(nox.pid, signal.SIGSTOP)
    for pid in sorted(keepers):
        os.kill(pid, signal.SIGKILL)
    os.kill(nox.pid, signal.SIGKILL)
    nox.wait(LIMIT)
    [folder] = servers(repository)
    assert len(left) == 2 and all(command_of(pid) for pid in left)
    ran = repository.nox("-s", "k8s", "--", "--environment", "trial", env=own())
    ran.assert_only("k8s", set(), TRIAL, WHOLE)
    wait_until_gone(left)
    assert not folder.exists() and servers(repository) == []
