"""Tests that each check of `nox -s terraform` finds a seeded defect, and that a
rehearsal accesses only the loopback interface. An apply takes a minute, so a test runs
an apply only if the test's defect cannot be found without one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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

ENVIRONMENTS = ("production", "staging", "dev", "trial")
STATIC = {"init", "fmt", "tfvars", "validate", "test", "checkov", "policy"}
PLAN_ONLY = ("--environment", "dev", "--plan-only")
PRODUCTION = ("--environment", "staging", "--environment", "production")
DEV = "333344445555"
PRODUCTION_ACCOUNT = "111122223333"
ASK_SECONDS = 0.2
GUARD = "terraform_data.destroy_guard"
# The environment variables that are needed to find Terraform and its providers.
INHERITED = ("PATH", "HOME", "TF_CLI_CONFIG_FILE")

pytestmark = pytest.mark.skipif(
    shutil.which("terraform") is None and os.environ.get("LAKE_CI_STRICT") != "1",
    reason="Terraform is not installed",
)

# Defects of a bucket and of two policies. Each line that a check must report is marked.
BUCKETS = """\
resource "aws_s3_bucket" "open" { # unencrypted
  bucket = "open-${var.environment}"
}

resource "aws_s3_bucket_public_access_block" "open" { # public
  bucket                  = aws_s3_bucket.open.bucket
  block_public_acls       = true
  block_public_policy     = false
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "open" {
  bucket = aws_s3_bucket.open.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_ownership_controls" "open" {
  bucket = aws_s3_bucket.open.bucket

  rule { # differs
    object_ownership = var.environment == "staging" ? "ObjectWriter" : \
"BucketOwnerEnforced"
  }
}

data "aws_iam_policy_document" "all" {
  statement {
    resources = ["arn:aws:s3:::open/*"]
    actions = [
      "s3:*", # wildcard
    ]
  }
}

resource "aws_iam_policy" "all" {
  name   = "all"
  policy = data.aws_iam_policy_document.all.json
}

data "aws_iam_policy_document" "everybody" {
  statement {
    resources = ["arn:aws:s3:::open/*"]
    actions   = ["s3:GetObject"]

    principals {
      type        = "*" # everybody
      identifiers = ["*"]
    }
  }
}
"""


def line(text: str, mark: str) -> int:
    """Return the number of the only line that contains a mark."""
    [number] = [
        number for number, each in enumerate(text.splitlines(), 1) if mark in each
    ]
    return number


def append(repository: Checkout, path: str, text: str) -> int:
    """Add lines at the end of a file. Returns the number of the first added line."""
    before = (repository.root / path).read_text(encoding="utf-8")
    repository.write(path, before + text)
    return len(before.splitlines()) + 1


@pytest.fixture
def repository(original: Checkout, tmp_path: Path) -> Checkout:
    return original.copy(tmp_path / "repository")


def test_the_repository_itself_passes_and_says_what_was_rehearsed(
    original: Checkout,
) -> None:
    ran = original.nox("-s", "terraform", "--", "--rehearse")
    ran.assert_only(
        "terraform",
        failed=set(),
        rows=STATIC | {f"plan {name}" for name in ENVIRONMENTS},
    )
    for name in ENVIRONMENTS:
        row = ran.check("terraform", f"plan {name}")
        assert row.data["rehearsed"] is True
        assert row.data["add"] > 20
        assert (row.data["change"], row.data["destroy"]) == (0, 0)
        folder = original.root / "reports" / "terraform" / name
        assert json.loads((folder / "plan.json").read_text(encoding="utf-8"))[
            "planned_values"
        ]
        assert f"Plan: {row.data['add']} to add" in (folder / "plan.txt").read_text(
            encoding="utf-8"
        )
    # Each environment has a link to the provider. `init` either found the provider on
    # this machine, or downloaded it.
    [provider] = original.root.glob(".cache/terraform/dev/providers/*/*/*/*/*")
    assert provider.is_symlink()
    assert not ran.result("terraform").partial


@pytest.fixture(scope="module")
def seeded(
    original: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ran, dict[str, int]]:
    """Run nox once on all defects that can be found without an apply.

    Returns the run, and the line of each defect.
    """
    repository = original.copy(tmp_path_factory.mktemp("seeded") / "repository")
    lines = {}
    repository.write("terraform/seeded.tf", BUCKETS)
    lines["fmt"] = append(
        repository, "terraform/outputs.tf", 'output  "seeded" {\n  value = 1\n}\n'
    )
    lines["tfvars"] = append(
        repository, "terraform/environments/trial.tfvars", 'regoin = "eu-west-1"\n'
    )
    repository.replace(
        "terraform/environments/dev.tfvars",
        "logs_days       = 30",
        'logs_days       = "a month"',
    )
    text = (repository.root / "terraform/environments/dev.tfvars").read_text(
        encoding="utf-8"
    )
    lines["type"] = line(text, "retention")
    repository.replace(
        "pyproject.toml",
        '  "aws_cloudwatch_metric_alarm.threshold",\n',
        '  "aws_cloudwatch_metric_alarm.threshold",\n  "aws_gone.name",\n',
    )
    repository.replace("pyproject.toml", '"quarantine", "gold"]', '"landing"]')
    text = (repository.root / "pyproject.toml").read_text(encoding="utf-8")
    lines["unmatched"] = line(text, "aws_gone.name")
    return (
        repository.nox("-s", "terraform", "--", "--rehearse", *PLAN_ONLY, *PRODUCTION),
        lines,
    )


def test_static_defects_fail_their_own_rows_and_no_other(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    rows = STATIC | {"plan dev", "plan staging", "plan production"}
    seeded[0].assert_only(
        "terraform", {"fmt", "tfvars", "plan dev", "checkov", "policy"}, rows
    )
    assert seeded[0].result("terraform").partial


def test_finds_a_file_that_is_not_formatted(seeded: tuple[Ran, dict[str, int]]) -> None:
    ran, lines = seeded
    found = ran.check("terraform", "fmt").findings
    assert ("terraform/outputs.tf", lines["fmt"]) in [
        (each.file, each.line) for each in found
    ]
    assert "terraform fmt" in found[0].message


def test_finds_a_value_for_a_variable_that_nobody_declared(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    ran, lines = seeded
    found = ran.finding("terraform", "tfvars", "undeclared")
    assert (found.file, found.line) == (
        "terraform/environments/trial.tfvars",
        lines["tfvars"],
    )
    assert "'regoin'" in found.message


def test_finds_a_value_of_the_wrong_type_in_one_environment(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    ran, lines = seeded
    [found] = ran.check("terraform", "plan dev").findings
    assert (found.file, found.line) == (
        "terraform/environments/dev.tfvars",
        lines["type"],
    )
    assert "number" in found.message
    assert ran.check("terraform", "plan staging").status is Status.SUCCESS


@pytest.mark.parametrize(
    ("check", "rule", "mark"),
    [
        ("checkov", "CKV_AWS_54", "# public"),
        ("policy", "public-bucket", "# everybody"),
        ("policy", "client-key", "# unencrypted"),
        ("policy", "destroy-guard", "# unencrypted"),
        ("policy", "unencrypted-bucket", "# unencrypted"),
        ("policy", "wildcard-action", "# wildcard"),
    ],
)
def test_finds_what_the_rules_of_checkov_and_of_our_own_forbid(
    seeded: tuple[Ran, dict[str, int]], check: str, rule: str, mark: str
) -> None:
    found = seeded[0].finding("terraform", check, rule)
    assert (found.tool, found.file, found.line) == (
        check,
        "terraform/seeded.tf",
        line(BUCKETS, mark),
    )


def test_finds_a_difference_between_staging_and_production(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    found = seeded[0].finding("terraform", "policy", "differs")
    assert (found.file, found.line) == (
        "terraform/seeded.tf",
        line(BUCKETS, "# differs"),
    )
    assert '"ObjectWriter"' in found.message
    assert '"BucketOwnerEnforced"' in found.message


def test_finds_a_pattern_of_differences_that_matches_nothing(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    ran, lines = seeded
    found = ran.finding("terraform", "policy", "unmatched")
    assert (found.file, found.line) == ("pyproject.toml", lines["unmatched"])
    assert "aws_gone.name" in found.message


def test_finds_a_layer_without_a_lifecycle_rule(
    seeded: tuple[Ran, dict[str, int]],
) -> None:
    file = "terraform/modules/bucket/main.tf"
    block = (REPOSITORY / file).read_text(encoding="utf-8")
    found = seeded[0].finding("terraform", "policy", "layer")
    before = block.partition("aws_s3_bucket_lifecycle_configuration")[0]
    rules = block.splitlines().index('  dynamic "rule" {', before.count("\n")) + 1
    assert (found.file, found.line) == (file, rules)
    assert "landing/" in found.message


def test_finds_a_variable_that_the_code_uses_and_nobody_declared(
    repository: Checkout,
) -> None:
    number = repository.write(
        "terraform/seeded.tf", 'output "seeded" {\n  value = var.nothing # here\n}\n'
    )
    ran = repository.nox("-s", "terraform", "--", "--environment", "dev")
    skipped = {"plan dev", "test", "policy"}
    ran.assert_only("terraform", {"validate"}, STATIC | {"plan dev"}, skipped)
    found = ran.finding(
        "terraform", "validate", "reference-to-undeclared-input-variable"
    )
    assert (found.file, found.line) == ("terraform/seeded.tf", number)


def test_finds_a_provider_that_cannot_be_found(repository: Checkout) -> None:
    repository.replace("terraform/versions.tf", "5.100.0", "5.100.99")
    (repository.root / "terraform" / ".terraform.lock.hcl").unlink()
    text = (repository.root / "terraform" / "versions.tf").read_text(encoding="utf-8")
    ran = repository.nox("-s", "terraform", "--", "--environment", "dev")
    assert "init" in {
        name for name, status in ran.rows("terraform").items() if status == "failure"
    }
    [found] = ran.check("terraform", "init").findings
    assert (found.file, found.line) == ("terraform/versions.tf", line(text, "source"))
    assert "5.100.99" in found.message
    assert ran.check("terraform", "plan dev").status is Status.SKIPPED


@pytest.mark.parametrize("strict", [True, False])
def test_without_terraform_the_row_says_how_to_get_it(
    repository: Checkout, tmp_path: Path, strict: bool
) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    (path / "git").symlink_to(str(shutil.which("git")))
    env = {"PATH": str(path), "LAKE_CI_STRICT": "1" if strict else ""}
    ran = repository.nox("-s", "terraform", "--", "--environment", "dev", env=env)
    row = ran.check("terraform", "init")
    assert row.status is (Status.FAILURE if strict else Status.WARNING)
    assert "developer.hashicorp.com/terraform/install" in row.detail
    assert ran.code == (1 if strict else 0)


class Listener:
    """A server on this machine that records requests. The tests check that the server
    gets no request.
    """

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:{}".format(self._socket.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.heard.append(connection.recv(200))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.close()


def test_rehearsal_ignores_variables_and_finds_changes_in_a_second_plan(
    repository: Checkout, listener: Listener, tmp_path: Path
) -> None:
    number = repository.write(
        "terraform/seeded.tf",
        'resource "terraform_data" "seeded" {\n  input = timestamp() # here\n}\n',
    )
    canary = "canary-" + "x" * 20
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[lake]\naws_access_key_id = {canary}\naws_secret_access_key = {canary}\n"
    )
    planted = dict.fromkeys(
        [
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL_STS",
            "AWS_ENDPOINT_URL_KMS",
        ]
        + ["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        + ["HTTP_PROXY", "http_proxy"],
        listener.url,
    ) | {
        "AWS_ACCESS_KEY_ID": canary,
        "AWS_SECRET_ACCESS_KEY": canary,
        "AWS_SESSION_TOKEN": canary,
        "AWS_PROFILE": "lake",
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_REGION": "us-gov-west-1",
        "TF_CLI_ARGS": "-no-such-option",
        "TF_CLI_ARGS_plan": "-no-such-option",
        "TF_DATA_DIR": str(tmp_path / "data"),
        "TF_LOG": "trace",
        "TF_LOG_PATH": str(tmp_path / "log"),
        "TF_VAR_region": "no region",
        "TF_WORKSPACE": "elsewhere",
        "NO_PROXY": "",
    }
    ran = repository.nox(
        "-s", "terraform", "--", "--environment", "dev", "--rehearse", env=planted
    )
    ran.assert_only("terraform", {"plan dev"}, STATIC | {"plan dev"})
    [found] = ran.check("terraform", "plan dev").findings
    assert (found.rule, found.file, found.line) == (
        "changes-again",
        "terraform/seeded.tf",
        number,
    )
    assert "terraform_data.seeded" in found.message
    assert listener.heard == []
    assert not (tmp_path / "data").exists()
    written = [
        path
        for path in repository.root.rglob("*")
        if path.is_file() and not path.is_symlink()
    ]
    assert canary not in ran.output
    assert [path for path in written if canary.encode() in path.read_bytes()] == []


@contextmanager
def moto_account(environment: str, account: str) -> Iterator[dict[str, str]]:
    """Run a moto server during a `with` block. The server simulates a cloud account.
    Yields environment variables with the account's credentials.
    """
    asked = json.dumps(
        {
            environment: {
                "account": account,
                "bucket": f"lake-terraform-state-{account}",
            }
        }
    )
    python = ENVDIR / "terraform" / "bin" / "python"
    keys = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PATH": os.environ["PATH"],
    }
    with subprocess.Popen(
        [str(python), "testing/aws/serve.py", asked],
        cwd=REPOSITORY,
        env=keys,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdin and server.stdout
        said = json.loads(server.stdout.readline())
        yield said["sessions"][environment] | {"AWS_ENDPOINT_URL": said["endpoint"]}
        server.stdin.close()
        server.wait(LIMIT)


def test_credentials_plan_the_real_account_and_report_its_drift(
    repository: Checkout, seeded: tuple[Ran, dict[str, int]]
) -> None:
    with moto_account("dev", DEV) as credentials:
        ran = repository.nox("-s", "terraform", "--", *PLAN_ONLY, env=credentials)
        ran.assert_only("terraform", set(), STATIC | {"plan dev"})
        row = ran.check("terraform", "plan dev")
        assert (row.data["account"], row.data["rehearsed"]) == (DEV, False)
        ran = repository.nox("-s", "terraform", "--", "--drift", "dev", env=credentials)
    # Nothing was ever applied to this account, so every declared object is missing.
    ran.assert_only(
        "terraform", {"drift dev"}, {"init", "fmt", "tfvars", "validate", "drift dev"}
    )
    found = [
        each
        for each in ran.check("terraform", "drift dev").findings
        if "lake.aws_s3_bucket.this" in each.message
    ]
    assert [(each.rule, each.file) for each in found] == [
        ("drift", "terraform/modules/bucket/main.tf")
    ]


def test_terraform_refuses_to_destroy_or_replace_production(
    repository: Checkout,
) -> None:
    with moto_account("production", PRODUCTION_ACCOUNT) as credentials:
        env = {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            **credentials,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CHECKPOINT_DISABLE": "1",
        }

        def terraform(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["terraform", *arguments],
                cwd=repository.root / "terraform",
                env=env,
                capture_output=True,
                text=True,
                check=False,
                timeout=LIMIT,
            )

        values = "-var-file=environments/production.tfvars"
        backend = "-backend-config=environments/production.s3.tfbackend"
        assert terraform("init", "-lockfile=readonly", backend).returncode == 0
        # Apply only the destroy guard, and the key and the buckets on which the guard
        # depends.
        applied = terraform(
            "apply", "-auto-approve", f"-target={GUARD}", "-no-color", values
        )
        assert applied.returncode == 0, applied.stderr
        planned = ("plan", "-refresh=false", "-no-color", values)
        for refused in (
            ["-destroy"],
            ["-destroy", "-target=module.logs"],
            ["-replace=module.lake.aws_s3_bucket.this"],
            ["-replace=module.key.aws_kms_key.this"],
            ["-var=name=pond"],
        ):
            done = terraform(*planned, *refused)
            assert done.returncode == 1, refused
            assert "Instance cannot be destroyed" in done.stderr, refused
            assert f"{GUARD}[0]" in done.stderr, refused
        assert terraform("state", "rm", f"{GUARD}[0]").returncode == 0
        assert terraform(*planned, "-destroy").returncode == 0


def test_drift_without_credentials_says_what_to_do(repository: Checkout) -> None:
    none = {"AWS_PROFILE": "", "AWS_ACCESS_KEY_ID": ""}
    ran = repository.nox("-s", "terraform", "--", "--drift", "production", env=none)
    row = ran.check("terraform", "drift production")
    assert row.status is not Status.SUCCESS
    assert "111122223333" in row.findings[0].message


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name
)
def test_a_signal_ends_terraform_its_providers_and_moto(
    original: Checkout, repository: Checkout, start: Start, number: signal.Signals
) -> None:
    repository.git("init", "--quiet")
    nox = start(
        repository,
        "--envdir",
        str(ENVDIR),
        "-s",
        "terraform",
        "--",
        "--environment",
        "dev",
        "--rehearse",
    )
    assert nox.stdout
    for text in nox.stdout:
        if "validate" in text:
            break
    processes: dict[int, str] = {}
    names = ""
    wait = threading.Event()
    while not all(
        each in names
        for each in ("terraform apply", "serve.py", "terraform-provider-aws")
    ):
        assert (
            nox.poll() is None
        ), "the application ended before its processes were seen"
        wait.wait(ASK_SECONDS)
        processes = {pid: command_of(pid) for pid in below(nox.pid)}
        names = " ".join(processes.values())
    watched = watch(processes)
    nox.send_signal(number)
    wait_until_gone(watched)
    nox.communicate(timeout=LIMIT)
    assert nox.returncode == 130
    ran = Ran(nox.returncode, "", repository.root)
    assert ran.result("terraform").cause == "interrupted"


def below(pid: int) -> list[int]:
    """Return all descendants of a process."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(
                stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1]
            )
        except OSError:
            # The process has ended since its folder in /proc was listed.
            continue
    found = [child for child, parent in parents.items() if parent == pid]
    return [*found, *(one for child in found for one in below(child))]


def command_of(pid: int) -> str:
    """Return the command line of a process, or an empty text if the process has
    ended.
    """
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")
        )
    except OSError:
        return ""
