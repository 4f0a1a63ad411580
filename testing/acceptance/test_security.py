"""Tests that each check of `nox -s security` finds a seeded defect, and that no output
contains a secret.
"""

from __future__ import annotations

import binascii
import json
import random
import re
import shutil
import string
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from lake_ci.model.results import Finding, Status
from testing.acceptance.conftest import (
    REPOSITORY,
    Begun,
    Checkout,
    Ran,
    private_environments,
)

SCANNERS = {"safety", "bandit", "semgrep", "secrets"}
ROWS = SCANNERS | {"semgrep rules", "exceptions", "findings.sarif"}
RULES = REPOSITORY / "security" / "rules"
SEEDS = "utils/lakekit/seeded"
# Defects for each class of bandit's checks, by the first digit of the rule: settings
# (1), frameworks (2), calls (3), cryptography (5), injection (6), templates (7).
BANDIT = {
    "B102": "exec(text)",
    "B104": "address = '0.0.0.0'",
    "B108": "scratch = '/tmp/lake'",
    "B113": "requests.get(url)",
    "B201": "flask.Flask('lake').run(debug=True)",
    "B301": "pickle.loads(data)",
    "B324": "hashlib.md5(data)",
    "B501": "requests.get(url, timeout=9, verify=False)",
    "B506": "yaml.load(text)",
    "B605": "os.system(text)",
    "B701": "jinja2.Environment()",
}
IMPORTS = (
    "import hashlib\nimport os\nimport pickle\n\nimport flask\nimport jinja2\nimport"
    " requests\nimport yaml\n"
)
CANARY = "canary-" + "7f3a91c2"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a vulnerability database with one entry and today's date. Runs use this
    database instead of the live database.
    """
    folder = tmp_path_factory.mktemp("advisories")
    meta = {
        "advisory": "written for a test",
        "base_domain": "https://example.org",
        "date": f"{date.today()}T00:00:00+00:00",
        "last_updated": f"{date.today()}T00:00:00+00:00",
        "schema_version": "2.0.0",
        "timestamp": 0,
    }
    known = {
        "advisory": "PYSEC-2018-28",
        "cve": "CVE-2018-18074",
        "id": "PYSEC-2018-28",
        "ids": [
            {"id": "PYSEC-2018-28", "type": "pyup"},
            {"id": "CVE-2018-18074", "type": "cve"},
        ],
        "more_info_path": "",
        "specs": ["<=2.19.1"],
        "transitive": False,
        "v": "<=2.19.1",
    }
    for name, rows in (
        ("insecure.json", ["<=2.19.1"]),
        ("insecure_full.json", [known]),
    ):
        body = {"meta": meta, "vulnerable_packages": {"requests": rows}}
        (folder / name).write_text(json.dumps(body), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def sound(original: Checkout, database: Path) -> tuple[Checkout, Ran]:
    """Return a repository without a defect, and the result of `nox -s security` in it.
    An environment variable of this run contained a secret.
    """
    original.commit()
    variables = (
        "DATABRICKS_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_PAT",
        "SAFETY_API_KEY",
        "SEMGREP_APP_TOKEN",
    )
    env = dict.fromkeys(variables, CANARY) | {"LAKE_CI_ADVISORIES": str(database)}
    return original, original.nox("-s", "security", env=env)


@pytest.fixture(scope="module")
def seeded(
    sound: tuple[Checkout, Ran],
    database: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    """Run nox once with all defects, because the real scanners are slow."""
    checkout = sound[0].copy(tmp_path_factory.mktemp("seeded") / "repository")
    for test in rule_tests():
        target = checkout.root / place_of(test)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(test, target)
    body = "".join(f"    {line}  # {rule}\n" for rule, line in BANDIT.items())
    checkout.write(
        f"{SEEDS}/dangers.py", f"{IMPORTS}\n\ndef run(text, data, url):\n{body}"
    )
    for name, token in tokens().items():
        checkout.write(f"{SEEDS}/{name}.txt", f"one line\nkey = {token}\n")
        checkout.write(f"{SEEDS}/{name}_again.txt", f"key = {token}\n")
    checkout.write(
        "requirements/docs.txt", "# a lock\nrequests==2.19.0 \\\n    --hash=sha256:00\n"
    )
    seed_exceptions(checkout)
    return checkout.nox("-s", "security", env={"LAKE_CI_ADVISORIES": str(database)})


def rule_tests() -> list[Path]:
    return sorted(
        path
        for path in RULES.iterdir()
        if path.suffix != ".yaml" or path.name.endswith(".test.yaml")
    )


def place_of(test: Path) -> str:
    """Return the path in the repository to which a rule's test file is copied as a
    defect.
    """
    return (
        f"k8s/{test.name}"
        if test.suffix == ".yaml"
        else f"{SEEDS}/{test.name.replace('-', '_')}"
    )


def tokens() -> dict[str, str]:
    """Return fake tokens that look real. If these tokens were literals in this file, a
    scanner would report them, so they are generated.
    """
    chance = random.Random(2026)
    letters = string.ascii_letters + string.digits
    databricks = "da" + "pi" + "".join(chance.choices("0123456789abcdef", k=32))
    aws = "AK" + "IA" + "".join(chance.choices(string.ascii_uppercase + "234567", k=16))
    aws_secret = "aws_secret_access_key = " + "".join(chance.choices(letters, k=40))
    body = "".join(chance.choices(letters, k=30))
    number, check = binascii.crc32(body.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        check = (string.digits + string.ascii_uppercase + string.ascii_lowercase)[
            rest
        ] + check
    return {
        "databricks": databricks,
        "aws_id": aws,
        "aws_secret": aws_secret,
        "github": f"gh{'p_'}{body}{check}",
    }


def seed_exceptions(checkout: Checkout) -> None:
    path = checkout.root / "security" / "exceptions.toml"
    text = path.read_text(encoding="utf-8")
    for id, expires in (
        ("bandit/B999", date.today() + timedelta(9)),
        ("bandit/B998", date.today() - timedelta(1)),
    ):
        text += (
            f'\n[[exception]]\nid = "{id}"\nreason = "a test"\nowner = "a'
            f' tester"\nexpires = {expires}\n'
        )
    path.write_text(
        text + '\n[[exception]]\nid = "bandit/B997"\nexpires = 2026-01-01\n',
        encoding="utf-8",
    )


def findings(ran: Ran, check: str) -> set[tuple[str, str, int]]:
    """Return the findings of a row, as (rule, file, line)."""
    return {
        (each.rule, each.file or "", each.line or 0)
        for each in ran.check("security", check).findings
    }


@pytest.fixture(scope="module", autouse=True)
def hanging(
    sound: tuple[Checkout, Ran],
    database: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Begun]:
    """Start a run in which a scanner hangs. The run starts before all tests, so that
    its time limit passes while the tests run.
    """
    folder = tmp_path_factory.mktemp("hanging")
    fakes = private_environments("security", folder / "envs")
    fake(fakes, "kingfisher", "echo 'loading rules' >&2; exec tail -f /dev/null")
    checkout = unknown(sound[0], folder)
    # The limit is a whole minute, so that even on a busy machine, the scanner starts
    # before the limit is reached.
    checkout.replace(
        "noxfile.py",
        'external_inputs=["advisories"],\n    minutes=10',
        'external_inputs=["advisories"],\n    minutes=1',
    )
    env = {"LAKE_CI_ADVISORIES": str(database)}
    begun = checkout.begin("-s", "security", envdir=fakes, env=env)
    yield begun
    begun.stop()


def test_the_repository_itself_passes(sound: tuple[Checkout, Ran]) -> None:
    ran = sound[1]
    ran.assert_only("security", failed=set(), rows=ROWS)
    assert {
        status for name, status in ran.rows("security").items() if name != "safety"
    } == {"success"}
    names = {Path(path).name for path in ran.result("security").artifacts}
    assert names == {
        "findings.sarif",
        "safety.json",
        "bandit.json",
        "semgrep.json",
        "secrets.json",
    }


def test_the_row_of_safety_names_the_database_and_its_day(
    sound: tuple[Checkout, Ran],
) -> None:
    row = sound[1].check("security", "safety")
    assert re.match(r"[1-9]\d* ", row.detail)
    assert row.detail.endswith(str(date.today()))


def test_a_credential_of_the_environment_is_in_nothing_that_was_written(
    sound: tuple[Checkout, Ran],
) -> None:
    checkout, ran = sound
    assert CANARY not in ran.output
    folders = [checkout.root / "reports", checkout.root / ".cache" / "scanners"]
    written = [
        path for folder in folders for path in folder.rglob("*") if path.is_file()
    ]
    assert len(written) > 5
    assert [path for path in written if CANARY.encode() in path.read_bytes()] == []


def test_all_that_looks_for_defects_fails_at_once(seeded: Ran) -> None:
    failed = {
        name for name, status in seeded.rows("security").items() if status == "failure"
    }
    assert failed == SCANNERS | {"exceptions"}, seeded.output
    assert seeded.code == 1


def test_finds_a_vulnerable_pin_in_a_lock(seeded: Ran) -> None:
    row = seeded.check("security", "safety")
    found = [
        each
        for each in row.findings
        if "2.19.0" in each.message and "CVE-2018-18074" in each.message
    ]
    assert [(each.file, each.line) for each in found] == [("requirements/docs.txt", 2)]
    assert "nox -s lock -- --upgrade-package requests" in found[0].message


@pytest.mark.parametrize("rule", BANDIT)
def test_finds_a_danger_of_each_of_bandits_classes(seeded: Ran, rule: str) -> None:
    lines = (
        (seeded.root / SEEDS / "dangers.py").read_text(encoding="utf-8").splitlines()
    )
    [line] = [
        number for number, text in enumerate(lines, 1) if text.endswith(f"# {rule}")
    ]
    assert (rule, f"{SEEDS}/dangers.py", line) in findings(
        seeded, "bandit"
    ), seeded.output


@pytest.mark.parametrize("test", rule_tests(), ids=lambda path: path.name)
def test_finds_what_each_rule_is_for_and_no_more(seeded: Ran, test: Path) -> None:
    rule = test.name.partition(".")[0]
    lines = test.read_text(encoding="utf-8").splitlines()
    expected = {
        (rule, place_of(test), number + 1)
        for number, line in enumerate(lines, 1)
        if f"# ruleid: {rule}" in line
    }
    assert {
        each
        for each in findings(seeded, "semgrep")
        if each[:2] == (rule, place_of(test))
    } == expected


@pytest.mark.parametrize("name", tokens())
def test_finds_a_token_and_does_not_repeat_it(seeded: Ran, name: str) -> None:
    rows = seeded.check("security", "secrets").findings
    places = {each.place for each in rows if name in (each.file or "")}
    assert places == {
        f"{SEEDS}/{name}.txt:2",
        f"{SEEDS}/{name}_again.txt:1",
    }, seeded.output
    written = [path for path in (seeded.root / "reports").rglob("*") if path.is_file()]
    for secret in re.findall(r"\S{24,}|AKIA\w+", tokens()[name]):
        assert [path for path in written if secret.encode() in path.read_bytes()] == []
        assert secret not in seeded.output


def test_finds_an_expired_an_unused_and_an_incomplete_exception(seeded: Ran) -> None:
    text = (seeded.root / "security" / "exceptions.toml").read_text(encoding="utf-8")
    heads = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if line == "[[exception]]"
    ]
    rules = ["unused", "expired", "incomplete"]
    expected = {
        (rule, "security/exceptions.toml", line)
        for rule, line in zip(rules, heads[-3:])
    }
    assert findings(seeded, "exceptions") == expected


def test_the_merged_list_is_written_with_every_file_and_line(seeded: Ran) -> None:
    text = (seeded.root / "reports" / "security" / "findings.sarif").read_text(
        encoding="utf-8"
    )
    places = set()
    for result in json.loads(text)["runs"][0]["results"]:
        place = result["locations"][0]["physicalLocation"]
        places.add((place["artifactLocation"]["uri"], place["region"]["startLine"]))
    for scanner in SCANNERS:
        rows: tuple[Finding, ...] = seeded.check("security", scanner).findings
        assert {(each.file, each.line) for each in rows} <= places
    assert seeded.check("security", "findings.sarif").status is Status.SUCCESS


@pytest.fixture
def fakes(sound: tuple[Checkout, Ran], tmp_path: Path) -> Path:
    """Return an environment folder for nox in which a test can replace scanners by
    scripts.
    """
    return private_environments("security", tmp_path / "envs")


def fake(environments: Path, name: str, script: str) -> None:
    """Replace a scanner by a script."""
    program = environments / "security" / "bin" / name
    program.unlink()
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)


def unknown(checkout: Checkout, folder: Path) -> Checkout:
    """Return a copy without cached scans, so that every scanner runs."""
    copy = checkout.copy(folder / "repository")
    for scanner in ("bandit", "semgrep", "secrets"):
        (copy.root / ".cache" / f"{scanner}.json").unlink()
    return copy


def test_what_did_not_change_is_not_scanned_again_and_says_the_same(
    sound: tuple[Checkout, Ran], database: Path, tmp_path: Path
) -> None:
    checkout = sound[0].copy(tmp_path / "repository")
    ran = checkout.nox("-s", "security", env={"LAKE_CI_ADVISORIES": str(database)})
    for scanner in ("bandit", "semgrep", "secrets"):
        first, again = (each.check("security", scanner) for each in (sound[1], ran))
        # The detail has the number of files, of changed files, and of accepted
        # findings.
        numbers = re.findall(r"\d[\d,]*", first.detail)
        assert len(numbers) in (2, 3)
        assert re.findall(r"\d[\d,]*", again.detail) == [numbers[0], *numbers[2:]]
        assert (again.status, again.findings) == (first.status, first.findings)
        reports = [
            each.root / "reports" / "security" / f"{scanner}.json"
            for each in (sound[0], checkout)
        ]
        one, other = (json.loads(path.read_text(encoding="utf-8")) for path in reports)
        assert one == other and one["files"] > 100


def test_a_scanner_that_fails_is_a_failure_with_its_last_lines(
    sound: tuple[Checkout, Ran], fakes: Path, tmp_path: Path, database: Path
) -> None:
    scripts = {
        "bandit": "echo 'bandit: no such option' >&2; exit 2",
        "semgrep": (
            'printf \'{"results": [{"lines": "%s"\' hidden; echo \'out of memory\' >&2;'
            " exit 0"
        ),
        "kingfisher": "echo 'started'; kill -9 $$",
    }
    for name, script in scripts.items():
        fake(fakes, name, script)
    checkout = unknown(sound[0], tmp_path)
    ran = checkout.nox(
        "-s", "security", envdir=fakes, env={"LAKE_CI_ADVISORIES": str(database)}
    )
    failed = {"bandit", "semgrep", "secrets"}
    ran.assert_only("security", failed=failed, rows=ROWS, skipped={"findings.sarif"})
    assert "no such option" in ran.finding("security", "bandit", "crash").message
    assert "out of memory" in ran.finding("security", "semgrep", "crash").message
    killed = ran.finding("security", "secrets", "crash").message.splitlines()[0]
    assert re.search(r"\b9\b", killed)
    assert "hidden" not in ran.output
    reports = {path.name for path in (checkout.root / "reports" / "security").iterdir()}
    assert reports == {"result.json", "safety.json"}


def test_a_scanner_that_hangs_is_ended_by_the_time_limit(hanging: Begun) -> None:
    ran = hanging.end()
    found = ran.finding("security", "secrets", "timeout")
    assert "loading rules" in found.message
    assert ran.result("security").cause == "timeout"
    assert not (hanging.root / "reports" / "security" / "secrets.json").exists()


@pytest.mark.parametrize("strict", [True, False])
def test_safety_without_a_database_reports_that_packages_were_not_checked(
    sound: tuple[Checkout, Ran], fakes: Path, tmp_path: Path, strict: bool
) -> None:
    for name in ("bandit", "semgrep", "kingfisher"):
        fake(fakes, name, "exit 9")  # this test is only about the scanner safety
    checkout = sound[0].copy(tmp_path / "repository")
    # The proxy does not exist, so the live database cannot be reached.
    env = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    env |= {
        "no_proxy": "",
        "NO_PROXY": "",
        "LAKE_CI_ADVISORIES": "",
        "LAKE_CI_STRICT": "1" if strict else "",
    }
    ran = checkout.nox("-s", "security", envdir=fakes, env=env)
    row = ran.check("security", "safety")
    assert row.status is (Status.FAILURE if strict else Status.WARNING)
    assert "LAKE_CI_ADVISORIES" in (row.not_checked or "")
