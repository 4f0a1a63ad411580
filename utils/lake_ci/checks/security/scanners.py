"""Runs the scanners bandit, semgrep and kingfisher, and writes the SARIF report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lake_ci.checks.file_cache import FileCache
from lake_ci.checks.security import sarif
from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.security.file_scanner import LOCK, FileScanner
from lake_ci.checks.security.sarif import SecurityFinding
from lake_ci.checks.security.scanner import HOME, Scanner, minimal_env
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import Check, CheckContext, CommandCheck, stopped_or_crashed
from lake_ci.system import git
from lake_ci.system.processes import Completed
from lake_ci.system.pyproject import read_project

RULES = "security/rules"
# The project's own rules for kingfisher, in addition to kingfisher's built-in rules.
KINGFISHER_RULES = "security/secrets"
SCHEMA = "security/sarif-schema-2.1.0.json"
REPORT = "findings.sarif"
# These options stop semgrep from sending metrics or looking for a new release.
SEMGREP = ("--metrics=off", "--disable-version-check")


class Bandit(FileScanner):
    """Use bandit to scan the project's Python code for dangerous calls and settings."""

    name = "bandit"
    report = "bandit.json"
    settings = ("pyproject.toml",)

    def files(self, ctx: CheckContext) -> list[str]:
        paths = self.register.settings.bandit
        return [file for file in git.files(ctx.root, *paths) if file.endswith(".py")]

    def scan(self, ctx: CheckContext, files: Sequence[str]) -> list[str]:
        scan = [ctx.bin("bandit"), "--configfile=pyproject.toml", "--ignore-nosec"]
        return [*scan, "--quiet", "--format=json", *files]

    def seen(self, document: Any, files: Sequence[str], ctx: CheckContext) -> set[str]:
        seen = {ctx.relative(name) for name in document["metrics"]}
        unseen = [file for file in files if file not in seen]
        if unseen:
            raise ValueError(f"not scanned: {', '.join(unseen)}")
        return seen

    def file(self, row: Any, ctx: CheckContext) -> str:
        return ctx.relative(row["filename"])

    def security_findings(
        self, document: Any, ctx: CheckContext
    ) -> Iterator[SecurityFinding]:
        for error in document["errors"]:
            message = f"not scanned: {error['reason']}"
            yield SecurityFinding(
                self.name, "unparsed", message, self.file(error, ctx), 1, "high"
            )
        for row in document["results"]:
            message = f"{_without_secret(row)}; see {row['more_info']}"
            cwe = f"CWE-{row['issue_cwe']['id']}" if row.get("issue_cwe") else None
            file, severity = self.file(row, ctx), row["issue_severity"].lower()
            yield SecurityFinding(
                self.name,
                row["test_id"],
                message,
                file,
                row["line_number"],
                severity,
                cwe,
            )

    def clean(self, document: Any) -> Any:
        rows = [
            {**row, "issue_text": _without_secret(row)} for row in document["results"]
        ]
        for row in rows:
            del row["code"]
        return {"results": rows, "errors": document["errors"]}


def _without_secret(row: dict[str, Any]) -> str:
    """Return bandit's message; for B105 to B107, without the hard-coded password."""
    message = str(row["issue_text"])
    if row["test_id"] in ("B105", "B106", "B107"):
        return message.partition(":")[0]
    return message


class Semgrep(FileScanner):
    """Scan all files with semgrep and the rules in security/rules, offline."""

    name = "semgrep"
    report = "semgrep.json"
    settings = (RULES, ".semgrepignore")
    SEVERITIES = {"ERROR": "high", "WARNING": "medium", "INFO": "low"}
    # If more than this number of files must be scanned, scanning all files is faster.
    FEW = 100

    def files(self, ctx: CheckContext) -> Sequence[str]:
        return git.files(ctx.root)

    def scan(self, ctx: CheckContext, files: Sequence[str]) -> list[str]:
        # Use one process: other scanners use the other cores, and most of semgrep's
        # time is spent on starting.
        scan = [
            ctx.bin("semgrep"),
            "scan",
            "--json",
            "--jobs=1",
            *SEMGREP,
            "--disable-nosem",
        ]
        # Select files with `--include`: semgrep scans a file that is a positional
        # argument even if .semgrepignore lists the file. `--include` expects a pattern,
        # so a file whose name contains special characters cannot be selected.
        few = len(files) <= self.FEW and not any(
            re.search(r"[*?\[\]{}!\\]", file) for file in files
        )
        return [
            *scan,
            f"--config={RULES}",
            *(f"--include={file}" for file in files if few),
            ".",
        ]

    def seen(self, document: Any, files: Sequence[str], ctx: CheckContext) -> set[str]:
        return {ctx.relative(path) for path in document["paths"]["scanned"]}

    def file(self, row: Any, ctx: CheckContext) -> str:
        return ctx.relative(row.get("path") or RULES)

    def security_findings(
        self, document: Any, ctx: CheckContext
    ) -> Iterator[SecurityFinding]:
        for error in document["errors"]:
            line = error.get("spans", [{}])[0].get("start", {}).get("line", 1)
            kind = error["type"] if isinstance(error["type"], str) else error["type"][0]
            message = f"not completely scanned: {kind}"
            yield SecurityFinding(
                self.name, "unparsed", message, self.file(error, ctx), line, "high"
            )
        for row in document["results"]:
            rule, extra = row["check_id"].rpartition(".")[2], row["extra"]
            severity, cwe = self.SEVERITIES[extra["severity"]], extra["metadata"].get(
                "cwe"
            )
            file, line = self.file(row, ctx), row["start"]["line"]
            yield SecurityFinding(
                self.name, rule, extra["message"], file, line, severity, cwe
            )

    def clean(self, document: Any) -> Any:
        rows = [
            {
                **row,
                "extra": {
                    key: row["extra"][key]
                    for key in ("message", "metadata", "severity")
                },
            }
            for row in document["results"]
        ]
        return {"results": rows, "errors": document["errors"]}


class Rules(CommandCheck):
    """Test each semgrep rule in security/rules with the rule's test file.

    If a rule has no test, the check fails.
    """

    name = "semgrep rules"

    def command(self, ctx: CheckContext) -> list[str]:
        return [ctx.bin("semgrep"), "scan", "--test", "--json", *SEMGREP, RULES]

    def _rules(self, ctx: CheckContext) -> list[Path]:
        """Return the files of the rules, without the test files."""
        paths = sorted((ctx.root / RULES).glob("*.yaml"))
        return [path for path in paths if not path.name.endswith(".test.yaml")]

    def run(self, ctx: CheckContext) -> Outcome:
        rules = self._rules(ctx)
        if not rules:
            return Outcome.failure(self.name, "nothing", f"no rule under {RULES}/")
        untested = [finding for path in rules for finding in self._untested(path, ctx)]
        if untested:
            return Outcome.of(untested)
        lock = ctx.root / LOCK
        context = [lock.read_text(encoding="utf-8") if lock.exists() else ""]
        cache = FileCache(ctx.root / ".cache" / "semgrep-rules.json", ctx.root, context)
        files = git.files(ctx.root, RULES)
        digests = cache.digests(files)
        clean = count(len(rules), "rule")
        if not cache.uncached(files, digests):
            return Outcome(Status.SUCCESS, f"{clean}, none changed")
        outcome = self.outcome(
            ctx.execute(self.command(ctx), env=minimal_env(ctx)), ctx
        )
        if outcome.status is not Status.SUCCESS:
            return outcome
        cache.save({file: [] for file in files}, digests)
        return Outcome(Status.SUCCESS, f"{clean} tested")

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        document = json.loads(done.stdout)
        for error in document["config_with_errors"]:
            yield Finding(self.name, "unreadable", str(error), RULES)
        for file, result in document["results"].items():
            for rule, check in result["checks"].items():
                for test, lines in check["matches"].items():
                    expected, reported = set(lines["expected_lines"]), set(
                        lines["reported_lines"]
                    )
                    for line in sorted(expected ^ reported):
                        word = (
                            "has no finding here"
                            if line in expected
                            else "has a finding here without a `ruleid:` comment"
                        )
                        yield Finding(
                            self.name,
                            rule,
                            f"{rule} {word}",
                            ctx.relative(test),
                            line,
                        )
                if not check["passed"] and not check["matches"]:
                    yield Finding(
                        self.name,
                        rule,
                        f"{rule} did not run: {check['errors']}",
                        ctx.relative(file),
                        1,
                    )

    def _untested(self, rule: Path, ctx: CheckContext) -> Iterator[Finding]:
        """Yield a finding for each kind of test that a rule lacks.

        semgrep itself does not report missing tests.
        """
        place = ctx.relative(rule)
        ids = re.findall(
            r"^\s*- id: (\S+)$", rule.read_text(encoding="utf-8"), re.MULTILINE
        )
        if ids != [rule.stem]:
            yield Finding(
                self.name,
                "name",
                f"the file must contain only the rule {rule.stem}, but contains {ids}",
                place,
                1,
            )
        tests = [path for path in rule.parent.glob(f"{rule.stem}.*") if path != rule]
        lines = "\n".join(path.read_text(encoding="utf-8") for path in tests)
        for kind in ("ruleid", "ok"):
            if not re.search(
                rf"^\s*(#|//) {kind}: {re.escape(rule.stem)}$", lines, re.MULTILINE
            ):
                message = f"no test file beside it has the line `# {kind}: {rule.stem}`"
                yield Finding(self.name, "untested", message, place, 1)


class Secrets(FileScanner):
    """Scan all files in git, and in the distributions, for secrets with kingfisher."""

    name = "secrets"
    report = "secrets.json"
    finding_codes = (200,)
    settings = (KINGFISHER_RULES,)

    def scan(self, ctx: CheckContext, files: Sequence[str]) -> list[str]:
        # With these options, kingfisher does not use the network, and prints a hash
        # instead of each secret.
        scan = [
            ctx.bin("kingfisher"),
            "scan",
            "--no-validate",
            "--no-update-check",
            "--redact",
            "--no-ignore",
        ]
        # Report each token for every file that contains the token.
        scan += ["--no-dedup", f"--rules-path={KINGFISHER_RULES}"]
        cache = f"--rule-cache-dir={ctx.root / HOME / 'kingfisher'}"
        return [*scan, cache, "--git-history=none", "--format=json", *files]

    def files(self, ctx: CheckContext) -> list[str]:
        """Return the files in git, and the ignored files that would be distributed."""
        targets = (
            read_project(ctx.root)["tool"]
            .get("hatch", {})
            .get("build", {})
            .get("targets", {})
        )
        wheel, sdist = targets.get("wheel", {}), targets.get("sdist", {})
        folders = {*wheel.get("packages", ()), *sdist.get("only-include", ())}
        packed = (
            path
            for folder in folders
            for path in (ctx.root / folder).rglob("*")
            if path.is_file()
        )
        files = {ctx.relative(path) for path in packed if path.suffix != ".pyc"}
        return sorted({*files, *git.files(ctx.root)})

    def seen(
        self, document: Any, files: Sequence[str], ctx: CheckContext
    ) -> Sequence[str]:
        # kingfisher lists only the files with findings. So compare the numbers of files
        # that kingfisher reports, to check that all files were scanned.
        if not document["metadata"]["summary"]["blobs_scanned"]:
            raise ValueError("no file was scanned")
        scans = document["audit"]["summary"]
        if scans["scan_succeeded"] != scans["discovered"]:
            raise ValueError(
                f"only {scans['scan_succeeded']} of {scans['discovered']} files were"
                " completely scanned"
            )
        return files

    def file(self, row: Any, ctx: CheckContext) -> str:
        return ctx.relative(row["path"])

    def security_findings(
        self, document: Any, ctx: CheckContext
    ) -> Iterator[SecurityFinding]:
        for row in document["results"]:
            rule = row["rule"].rpartition(".")[2]
            message = (
                f"looks like a secret ({rule}): revoke the secret, then remove it from"
                " the file and from git's history"
            )
            yield SecurityFinding(
                self.name,
                rule,
                message,
                self.file(row, ctx),
                row["line"],
                "high",
                "CWE-798",
            )

    def clean(self, document: Any) -> Any:
        keys = ("fingerprint", "path", "line", "confidence")
        rows = document["findings"]
        results = [
            {"rule": row["rule"]["id"], **{key: row["finding"][key] for key in keys}}
            for row in rows
        ]
        return {"results": results, "errors": []}


class Sarif(Check):
    """Write all findings to findings.sarif, and validate this file against SARIF."""

    name = REPORT
    exclusive = True

    def __init__(self, register: Register, scanners: list[Scanner]) -> None:
        self.register = register
        self.scanners = scanners

    def run(self, ctx: CheckContext) -> Outcome:
        unfinished = self.register.unfinished(scanner.name for scanner in self.scanners)
        if unfinished:
            # Do not write an incomplete file: if a finding is missing in the file,
            # GitHub closes the finding's alert.
            return Outcome(
                Status.SKIPPED, f"not written: {', '.join(unfinished)} did not finish"
            )
        security_findings = self.register.security_findings()
        scratch = ctx.reports / f".{REPORT}"
        scratch.write_text(sarif.text(security_findings), encoding="utf-8")
        check = [ctx.bin("check-jsonschema"), "--schemafile", SCHEMA, str(scratch)]
        done = ctx.execute(check)
        if done.code != 0:
            scratch.unlink()
            return stopped_or_crashed(self.name, done)
        scratch.replace(ctx.reports / REPORT)
        return Outcome(Status.SUCCESS, count(len(security_findings), "finding"))
