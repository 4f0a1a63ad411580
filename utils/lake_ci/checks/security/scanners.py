"""Weaknesses of the code, and secrets in it: bandit, semgrep with the project's own
rules, kingfisher.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lake_ci.checks.file_cache import KnownFiles
from lake_ci.checks.security import sarif
from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.security.file_scanner import LOCK, FileScanner
from lake_ci.checks.security.sarif import Weakness
from lake_ci.checks.security.scanner import HOME, Scanner, surroundings
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import CommandTool, Tool, Workbench, stopped_or_crashed
from lake_ci.system import git
from lake_ci.system.processes import Completed
from lake_ci.system.pyproject import read_project

RULES = "security/rules"
# What kingfisher has no rule for; its own hold beside them.
KINGFISHER_RULES = "security/secrets"
SCHEMA = "security/sarif-schema-2.1.0.json"
REPORT = "findings.sarif"
# No word to anyone: no metrics, no question whether there is a newer release.
SEMGREP = ("--metrics=off", "--disable-version-check")


class Bandit(FileScanner):
    """bandit: calls and settings in the project's own Python that are known to be
    dangerous.
    """

    name = "bandit"
    report = "bandit.json"
    settings = ("pyproject.toml",)

    def files(self, bench: Workbench) -> list[str]:
        paths = self.register.settings["bandit"]
        return [file for file in git.files(bench.root, *paths) if file.endswith(".py")]

    def scan(self, bench: Workbench, files: Sequence[str]) -> list[str]:
        scan = [bench.bin("bandit"), "--configfile=pyproject.toml", "--ignore-nosec"]
        return [*scan, "--quiet", "--format=json", *files]

    def seen(self, document: Any, files: Sequence[str], bench: Workbench) -> set[str]:
        seen = {bench.relative(name) for name in document["metrics"]}
        unseen = [file for file in files if file not in seen]
        if unseen:
            raise ValueError(f"it did not look at {', '.join(unseen)}")
        return seen

    def file(self, row: Any, bench: Workbench) -> str:
        return bench.relative(row["filename"])

    def weaknesses(self, document: Any, bench: Workbench) -> Iterator[Weakness]:
        for error in document["errors"]:
            message = f"not scanned: {error['reason']}"
            yield Weakness(
                self.name, "unparsed", message, self.file(error, bench), 1, "high"
            )
        for row in document["results"]:
            message = f"{_without_secret(row)}; see {row['more_info']}"
            cwe = f"CWE-{row['issue_cwe']['id']}" if row.get("issue_cwe") else None
            file, severity = self.file(row, bench), row["issue_severity"].lower()
            yield Weakness(
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
    """What bandit says; of a hard-coded password (B105 to B107) without the
    password.
    """
    says = str(row["issue_text"])
    return (
        says.partition(":")[0] if row["test_id"] in ("B105", "B106", "B107") else says
    )


class Semgrep(FileScanner):
    """semgrep with the rules of security/rules, offline: what a reviewer of a lake
    would object to.
    """

    name = "semgrep"
    report = "semgrep.json"
    settings = (RULES, ".semgrepignore")
    SEVERITIES = {"ERROR": "high", "WARNING": "medium", "INFO": "low"}
    # Of more files than these semgrep is faster to look at all than to tell them apart.
    FEW = 100

    def files(self, bench: Workbench) -> Sequence[str]:
        return git.files(bench.root)

    def scan(self, bench: Workbench, files: Sequence[str]) -> list[str]:
        # One process: the other scanners want the other cores, and most of its time is
        # its start.
        scan = [
            bench.bin("semgrep"),
            "scan",
            "--json",
            "--jobs=1",
            *SEMGREP,
            "--disable-nosem",
        ]
        # Named as targets they would be scanned whatever .semgrepignore says. What has
        # a meaning in a pattern is not worth the trouble.
        few = len(files) <= self.FEW and not any(
            re.search(r"[*?\[\]{}!\\]", file) for file in files
        )
        return [
            *scan,
            f"--config={RULES}",
            *(f"--include={file}" for file in files if few),
            ".",
        ]

    def seen(self, document: Any, files: Sequence[str], bench: Workbench) -> set[str]:
        return {bench.relative(path) for path in document["paths"]["scanned"]}

    def file(self, row: Any, bench: Workbench) -> str:
        return bench.relative(row.get("path") or RULES)

    def weaknesses(self, document: Any, bench: Workbench) -> Iterator[Weakness]:
        for error in document["errors"]:
            line = error.get("spans", [{}])[0].get("start", {}).get("line", 1)
            kind = error["type"] if isinstance(error["type"], str) else error["type"][0]
            message = f"not scanned as a whole: {kind}"
            yield Weakness(
                self.name, "unparsed", message, self.file(error, bench), line, "high"
            )
        for row in document["results"]:
            rule, extra = row["check_id"].rpartition(".")[2], row["extra"]
            severity, cwe = self.SEVERITIES[extra["severity"]], extra["metadata"].get(
                "cwe"
            )
            file, line = self.file(row, bench), row["start"]["line"]
            yield Weakness(self.name, rule, extra["message"], file, line, severity, cwe)

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


class Rules(CommandTool):
    """Each rule of security/rules finds what its test file says, and nothing else; a
    rule without tests fails.
    """

    name = "semgrep rules"

    def command(self, bench: Workbench) -> list[str]:
        return [bench.bin("semgrep"), "scan", "--test", "--json", *SEMGREP, RULES]

    def _rules(self, bench: Workbench) -> list[Path]:
        """The files of rules, without the files of their tests."""
        paths = sorted((bench.root / RULES).glob("*.yaml"))
        return [path for path in paths if not path.name.endswith(".test.yaml")]

    def run(self, bench: Workbench) -> Outcome:
        rules = self._rules(bench)
        if not rules:
            return Outcome.failure(
                self.name, "nothing", f"there is no rule under {RULES}/"
            )
        untested = [
            finding for path in rules for finding in self._untested(path, bench)
        ]
        if untested:
            return Outcome.of(untested)
        lock = bench.root / LOCK
        context = [lock.read_text(encoding="utf-8") if lock.exists() else ""]
        known = KnownFiles(
            bench.root / ".cache" / "semgrep-rules.json", bench.root, context
        )
        files = git.files(bench.root, RULES)
        digests = known.digests(files)
        clean = count(len(rules), "rule")
        if not known.unknown(files, digests):
            return Outcome(Status.SUCCESS, f"{clean}, none changed")
        outcome = self.outcome(
            bench.execute(self.command(bench), env=surroundings(bench)), bench
        )
        if outcome.status is not Status.SUCCESS:
            return outcome
        known.keep({file: [] for file in files}, digests)
        return Outcome(Status.SUCCESS, f"{clean} tested")

    def findings(self, done: Completed, bench: Workbench) -> Iterator[Finding]:
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
                            "finds nothing here"
                            if line in expected
                            else "finds this, which no `ruleid:` expects"
                        )
                        yield Finding(
                            self.name,
                            rule,
                            f"{rule} {word}",
                            bench.relative(test),
                            line,
                        )
                if not check["passed"] and not check["matches"]:
                    yield Finding(
                        self.name,
                        rule,
                        f"{rule} did not run: {check['errors']}",
                        bench.relative(file),
                        1,
                    )

    def _untested(self, rule: Path, bench: Workbench) -> Iterator[Finding]:
        """What semgrep passes over in silence: a rule without a test of each kind."""
        place = bench.relative(rule)
        ids = re.findall(
            r"^\s*- id: (\S+)$", rule.read_text(encoding="utf-8"), re.MULTILINE
        )
        if ids != [rule.stem]:
            yield Finding(
                self.name,
                "name",
                f"the file holds one rule, {rule.stem}; found: {ids}",
                place,
                1,
            )
        tests = [path for path in rule.parent.glob(f"{rule.stem}.*") if path != rule]
        lines = "\n".join(path.read_text(encoding="utf-8") for path in tests)
        for kind in ("ruleid", "ok"):
            if not re.search(
                rf"^\s*(#|//) {kind}: {re.escape(rule.stem)}$", lines, re.MULTILINE
            ):
                message = f"no test file beside it has a line `# {kind}: {rule.stem}`"
                yield Finding(self.name, "untested", message, place, 1)


class Secrets(FileScanner):
    """kingfisher: no token, key or password in any file that git knows, or that a
    distribution would hold.
    """

    name = "secrets"
    report = "secrets.json"
    finding_codes = (200,)
    settings = (KINGFISHER_RULES,)

    def scan(self, bench: Workbench, files: Sequence[str]) -> list[str]:
        # Offline and without a word to anyone; what is found is replaced by a hash,
        # wherever it is printed.
        scan = [
            bench.bin("kingfisher"),
            "scan",
            "--no-validate",
            "--no-update-check",
            "--redact",
            "--no-ignore",
        ]
        # A token that stands in several files is named in each.
        scan += ["--no-dedup", f"--rules-path={KINGFISHER_RULES}"]
        cache = f"--rule-cache-dir={bench.root / HOME / 'kingfisher'}"
        return [*scan, cache, "--git-history=none", "--format=json", *files]

    def files(self, bench: Workbench) -> list[str]:
        """What git knows, and what would be packed of what it ignores."""
        targets = (
            read_project(bench.root)["tool"]
            .get("hatch", {})
            .get("build", {})
            .get("targets", {})
        )
        wheel, sdist = targets.get("wheel", {}), targets.get("sdist", {})
        folders = {*wheel.get("packages", ()), *sdist.get("only-include", ())}
        packed = (
            path
            for folder in folders
            for path in (bench.root / folder).rglob("*")
            if path.is_file()
        )
        files = {bench.relative(path) for path in packed if path.suffix != ".pyc"}
        return sorted({*files, *git.files(bench.root)})

    def seen(
        self, document: Any, files: Sequence[str], bench: Workbench
    ) -> Sequence[str]:
        # It names no file that it found nothing in.
        if not document["metadata"]["summary"]["blobs_scanned"]:
            raise ValueError("it looked at no file")
        scans = document["audit"]["summary"]
        if scans["scan_succeeded"] != scans["discovered"]:
            raise ValueError(
                f"it looked at {scans['scan_succeeded']} of"
                f" {scans['discovered']} files as a whole"
            )
        return files

    def file(self, row: Any, bench: Workbench) -> str:
        return bench.relative(row["path"])

    def weaknesses(self, document: Any, bench: Workbench) -> Iterator[Weakness]:
        for row in document["results"]:
            rule = row["rule"].rpartition(".")[2]
            message = (
                f"looks like a secret ({rule}): revoke it, then take it out of the file"
                " and of the history"
            )
            yield Weakness(
                self.name,
                rule,
                message,
                self.file(row, bench),
                row["line"],
                "high",
                "CWE-798",
            )

    def clean(self, document: Any) -> Any:
        kept = ("fingerprint", "path", "line", "confidence")
        rows = document["findings"]
        results = [
            {"rule": row["rule"]["id"], **{key: row["finding"][key] for key in kept}}
            for row in rows
        ]
        return {"results": results, "errors": []}


class Sarif(Tool):
    """findings.sarif: all that the scanners found as one list, valid by OASIS' schema,
    for GitHub's code scanning.
    """

    name = REPORT
    alone = True

    def __init__(self, register: Register, scanners: list[Scanner]) -> None:
        self.register = register
        self.scanners = scanners

    def run(self, bench: Workbench) -> Outcome:
        unfinished = self.register.unfinished(scanner.name for scanner in self.scanners)
        if unfinished:
            # GitHub would take what is missing for mended.
            return Outcome(
                Status.SKIPPED, f"not written: {', '.join(unfinished)} did not finish"
            )
        weaknesses = self.register.weaknesses()
        scratch = bench.reports / f".{REPORT}"
        scratch.write_text(sarif.text(weaknesses), encoding="utf-8")
        check = [bench.bin("check-jsonschema"), "--schemafile", SCHEMA, str(scratch)]
        done = bench.execute(check)
        if done.code != 0:
            scratch.unlink()
            return stopped_or_crashed(self.name, done)
        scratch.replace(bench.reports / REPORT)
        return Outcome(Status.SUCCESS, count(len(weaknesses), "finding"))
