"""The tools of the small pipeline."""

import hashlib
import re
import zipfile

from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.runner.check import Check, CommandCheck, crashed


class Compile(CommandCheck):
    """Checks that every file in a folder compiles."""

    def __init__(self, folder):
        self.folder = folder
        self.name = f"compile {folder}"

    def command(self, ctx):
        return [str(ctx.python), "-m", "compileall", "-q", self.folder]

    def findings(self, done, ctx):
        for file, line in re.findall(r'File "(.+)", line (\d+)', done.stdout):
            yield Finding(
                self.name, "syntax", "does not compile", ctx.relative(file), int(line)
            )


class Unittest(CommandCheck):
    """Runs the unit tests."""

    name = "unittest"

    def command(self, ctx):
        return [
            str(ctx.python),
            "-m",
            "unittest",
            "discover",
            "-s",
            "tests",
            "-t",
            ".",
        ]

    def findings(self, done, ctx):
        places = re.findall(r'File "(.+/tests/.+)", line (\d+)', done.stderr)
        for test, (file, line) in zip(
            re.findall(r"^FAIL: (\w+)", done.stderr, re.M), places
        ):
            yield Finding(self.name, "failure", test, ctx.relative(file), int(line))


class Zip(Check):
    """Builds the application as one file. Every build has the same bytes."""

    name = "zip"

    def run(self, ctx):
        dist = ctx.root / "dist"
        dist.mkdir(exist_ok=True)
        with zipfile.ZipFile(dist / "app.pyz", "w") as archive:
            source = (ctx.root / "app" / "greeting.py").read_text(encoding="utf-8")
            archive.writestr(
                zipfile.ZipInfo("__main__.py"), f"{source}\nprint(greet('lake'))\n"
            )
        digest = hashlib.sha256((dist / "app.pyz").read_bytes()).hexdigest()
        return Outcome(Status.SUCCESS, f"sha256 {digest[:16]}")


class RunApp(Check):
    """Runs the file that was built."""

    def __init__(self, name):
        self.name = name

    def run(self, ctx):
        file = ctx.root / "dist" / "app.pyz"
        if not file.exists():
            return Outcome.failure(
                self.name, "missing", "dist/app.pyz was not handed on"
            )
        done = ctx.execute([str(ctx.python), str(file)])
        if done.code != 0:
            return crashed(self.name, done)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return Outcome(Status.SUCCESS, f"{done.stdout.strip()}, sha256 {digest[:16]}")
