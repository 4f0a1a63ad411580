"""Each declared job becomes nox sessions. `nox -s X` runs only X. An error is printed
as one line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lake_ci import errors
from lake_ci.errors import MachineError
from lake_ci.runner.suite import Suite, exit_on_error
from lake_ci.system import signals
from lake_ci.system.environment import Environment

if TYPE_CHECKING:
    from testing.unit.lake_ci.conftest import Nox

THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"
JOBS = f"""
from lake_ci.runner.options import Parser


def parser():
    parser = Parser("nox -s lint --")
    parser.add_argument("commands", nargs="*")
    return parser


@suite.job(python=None, minutes=1, parser=parser)
def lint(run):
    \"\"\"Look at the code.

    More of it.
    \"\"\"
    run.check(*[Shell(command) for command in run.posargs or ["true"]])


@suite.job(
    needs=[lint], pythons=["{THIS}"], javas=["11", "17"], reports=["coverage.xml"]
)
def tests(run):
    \"\"\"Test the code.\"\"\"
    run.install("test")
    run.check(Shell(f"echo Python {{run.python}}, Java {{run.java}}"))


@suite.helper(python=None)
def format(run):
    \"\"\"Format the code.\"\"\"
    run.check(Shell("true"))
"""


def test_a_declared_job_is_a_session_with_its_name_docstring_and_matrix(
    nox_run: Nox, capsys: pytest.CaptureFixture[str]
) -> None:
    nox_run.write(JOBS)
    assert nox_run.here("--list") == 0
    listing = capsys.readouterr().out
    assert "lint -> Look at the code." in listing
    assert f"tests-{THIS}(java11) -> Test the code." in listing
    assert f"tests-{THIS}(java17) -> Test the code." in listing
    assert "format -> Format the code." in listing


def test_one_session_runs_exactly_that_session(nox_run: Nox) -> None:
    nox_run.write(JOBS)
    assert (
        nox_run.here("-s", f"tests-{THIS}(java17)", "--no-install") == 1
    )  # the repository has no lock file to install
    assert nox_run.here("-s", "lint") == 0
    assert nox_run.statuses() == {
        f"tests-{THIS}(java17)": ("failure", "no-environment"),
        "lint": ("success", None),
    }
    # Now the environment exists. With -R, nox keeps this environment, and the session
    # runs.
    assert nox_run.here("-R", "-s", f"tests-{THIS}(java17)") == 0
    [check] = nox_run.result(f"tests-{THIS}-java17").checks
    assert check.detail == f"Python {THIS}, Java 17"


def test_a_failed_check_fails_the_session_which_names_it_and_the_result(
    nox_run: Nox, caplog: pytest.LogCaptureFixture
) -> None:
    nox_run.write(JOBS)
    assert nox_run.here("-s", "lint", "--", "true", "exit 3", "false") == 1
    assert "exit 3, false failed; " in caplog.text
    assert "reports/lint/result.json" in caplog.text
    assert [check.status.value for check in nox_run.result("lint").checks] == [
        "success",
        "failure",
        "failure",
    ]


def test_install_only_runs_no_check(nox_run: Nox) -> None:
    nox_run.write(JOBS)
    assert nox_run.here("--install-only", "-s", "lint", "--", "touch ran") == 0
    assert not (nox_run.root / "ran").exists()


TAKES = """
from lake_ci.runner.options import Parser


def parser():
    parser = Parser("nox -s docker --")
    parser.add_argument("--target")
    return parser


@suite.job(reports=["images.json"], python=None, parser=parser)
def docker(run):
    \"\"\"Build the images.\"\"\"
    run.partial = bool(run.posargs)
    run.check(Shell("true"))


@suite.job(needs=[docker], artifacts_from=["docker"], python=None)
def k8s(run):
    \"\"\"Compare with the images.\"\"\"
    run.check(Shell("true"))
"""


def test_a_job_warns_of_files_that_a_partial_run_of_its_need_left(nox_run: Nox) -> None:
    nox_run.write(TAKES)
    assert nox_run.here("-s", "docker", "--", "--target", "api") == 0
    assert nox_run.here("-s", "k8s") == 0
    [warning] = nox_run.result("k8s").warnings
    why = "arguments selected a part of docker; run `nox -s docker`"
    assert warning == f"the files of docker are incomplete: {why}"
    assert nox_run.here("-s", "docker", "k8s") == 0
    assert nox_run.result("k8s").warnings == ()


def test_a_set_of_files_is_named_among_the_inputs_and_must_be_there(
    nox_run: Nox, capfd: pytest.CaptureFixture[str]
) -> None:
    (nox_run.root / "pyproject.toml").write_text(
        '[tool.lake_ci.paths]\ncode = ["lake/*", "api/*"]\n'
    )
    nox_run.write("""
        @suite.job(inputs=["{code}", "*.md"], python=None)
        def lint(run):
            \"\"\"Look at the code.\"\"\"
            run.check(Shell(f"echo {' '.join(run.variant.job.inputs)}"))
        """)
    assert nox_run.here("-s", "lint") == 0
    [check] = nox_run.result("lint").checks
    assert check.detail == "lake/* api/* *.md"
    noxfile = nox_run.root / "noxfile.py"
    noxfile.write_text(noxfile.read_text().replace("{code}", "{cod}"))
    assert nox_run.here("-s", "lint") == 2
    assert (
        "noxfile.py: job 'lint': [tool.lake_ci.paths] has no 'cod';"
        " did you mean 'code'?"
    ) in capfd.readouterr().err


@pytest.mark.parametrize("session", ["tests", "format"])
def test_a_session_without_options_refuses_arguments(
    nox_run: Nox, session: str
) -> None:
    nox_run.write(JOBS)
    code, output = nox_run.run("-s", session, "--", "utils")
    assert code == 2 and f"nox -s {session} -- --help" in output, output
    assert "'utils'" in output
    code, output = nox_run.run("-s", session, "--", "--help")
    assert code == 0 and f"usage: nox -s {session} --" in output, output


def test_a_helper_is_no_job_of_the_pipeline(nox_run: Nox) -> None:
    nox_run.write(JOBS)
    assert nox_run.here("-s", "format") == 0
    assert nox_run.here("-s", "pipeline", "--", "--only", "format") == 2


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ('job(events=["pusj"])', "'pusj'"),
        ("job(minute=5)", "no argument 'minute'"),
        ("helper(minute=5)", "'minute'"),
        ('job(takes=["first"])', "'takes'"),
    ],
)
def test_a_wrong_declaration_is_one_line_and_exit_code_2(
    nox_run: Nox, declared: str, words: str
) -> None:
    nox_run.write(f'{JOBS}\n\n@suite.{declared}\ndef docs(run):\n    """Say it."""\n')
    code, output = nox_run.run("--list")
    assert code == 2
    assert output.startswith("noxfile.py: job 'docs': ") and words in output
    assert output.count("\n") == 1


def test_without_uv_the_machine_lacks_something(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    handlers: None,
) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as raised:
        Suite(tmp_path, {})
    assert raised.value.code == 3
    assert (
        capsys.readouterr().err
        == "uv is missing: it creates the environments of all sessions "
        "(run `python -m pip install 'nox[uv]'`)\n"
    )


def test_without_jinja2_the_machine_lacks_something(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    handlers: None,
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(SystemExit) as raised:
        Suite(tmp_path, {})
    assert raised.value.code == 3
    assert (
        capsys.readouterr().err == "jinja2 is missing: it renders the HTML report "
        "(run `python -m pip install jinja2`)\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LAKE_CI_STRCIT", "1", "unknown variable LAKE_CI_STRCIT; did you mean"),
        ("LAKE_CI_REUSE", "off", "unknown variable LAKE_CI_REUSE"),
        ("LAKE_CI_STRICT", "true", "LAKE_CI_STRICT='true'; the values are 0 and 1"),
    ],
)
def test_a_variable_that_would_have_no_effect_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    handlers: None,
    name: str,
    value: str,
    message: str,
) -> None:
    with pytest.raises(SystemExit) as raised:
        Suite(tmp_path, {name: value})
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith(message)


WAITING = """
@suite.job(python=None, external_inputs=["api-server"], setup=["kubernetes"])
def k8s(run):
    \"\"\"Ask the API server.\"\"\"
    run.check(Shell("echo asked >> asked"))
"""


@pytest.fixture
def api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of prepared resources. In this folder, the preparation of the API
    server has failed.
    """
    folder = tmp_path / "provisioning"
    folder.mkdir()
    (folder / "api-server.resource").write_text("v1.34.2\n")
    (folder / "api-server.log").write_text("go: no space left on device\n")
    monkeypatch.setenv("LAKE_CI_PROVISIONING", str(folder))
    # Otherwise, a test would find an API server of this machine and use its hash.
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return folder


def test_a_machine_that_could_not_be_prepared_is_exit_code_3(
    nox_run: Nox, api_server: Path
) -> None:
    nox_run.write(WAITING)
    code, output = nox_run.run("-s", "k8s")
    assert code == 3, output
    assert "go: no space left on device" in output
    assert "k8s: machine failed; details in reports/k8s/result.json" in output
    assert not (nox_run.root / "asked").exists()
    assert nox_run.statuses() == {"k8s": ("failure", "not-provisioned")}


def test_what_is_reused_does_not_wait_and_is_known_by_the_same_inputs(
    nox_run: Nox, api_server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_CI_CACHE", "sessions")
    nox_run.write(WAITING)
    (nox_run.root / ".gitignore").write_text(
        "/.cache/\n/.nox/\n/reports/\n/asked\n__pycache__/\n"
    )
    (api_server / "api-server.ready").touch()
    assert nox_run.here("-s", "k8s") == 0
    assert (nox_run.root / "asked").read_text() == "asked\n"
    assert (api_server / "api-server.observed").read_text() == "v1.34.2\nnone"
    # The server was removed, and then prepared again with the same pinned versions.
    (api_server / "api-server.ready").unlink()
    assert nox_run.here("-s", "k8s") == 0
    assert (nox_run.root / "asked").read_text() == "asked\n"


def test_an_error_becomes_one_line_and_its_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as raised, exit_on_error():
        raise MachineError("no engine", hint="start one")
    assert raised.value.code == 3
    assert capsys.readouterr().err == "no engine (start one)\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = (
        "from lake_ci.runner.suite import exit_on_error\nwith exit_on_error():\n    "
        "print('a' * 1_000_000, flush=True)\n"
    )
    path = str(Path(errors.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(1) == b"a"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_inside_a_pipeline_sessions_require_what_is_planned_of_their_needs(
    nox_run: Nox, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nox

    watched: list[bool] = []
    monkeypatch.setattr(signals, "end_with_parent", lambda: watched.append(True))
    nox_run.write(JOBS)
    for planned, required in (
        (None, []),
        ([f"tests-{THIS}(java11)"], []),
        ([f"tests-{THIS}(java11)", "lint"], ["lint"]),
    ):
        if planned is not None:
            monkeypatch.setenv("LAKE_CI_PLAN", json.dumps(planned))
        assert nox_run.here("--list") == 0
        assert nox.registry.get()["tests"]._requires == required
    assert watched == [True, True]


@pytest.mark.parametrize(
    ("value", "strict"), [(None, False), ("0", False), ("1", True)]
)
def test_strict_is_what_the_environment_says(
    tmp_path: Path, handlers: None, value: str | None, strict: bool
) -> None:
    env = {} if value is None else {"LAKE_CI_STRICT": value}
    assert Suite(tmp_path, env).strict is strict


def test_a_session_without_an_environment_runs_on_the_suites_own(nox_run: Nox) -> None:
    nox_run.write(JOBS)
    assert nox_run.here("-s", "lint", "--no-venv", "--", "echo $VIRTUAL_ENV") == 0
    assert nox_run.result("lint").checks[0].detail == sys.prefix
    assert Environment(Path(sys.prefix)).python.samefile(
        os.path.join(sys.prefix, "bin", "python")
    )
