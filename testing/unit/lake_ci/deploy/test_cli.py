"""Tests how the output of databricks-cli is converted to responses and errors. The
token must never be in the arguments of the CLI.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lake_ci.deploy.cli import BEHIND_PROXY, DatabricksCli, failed
from lake_ci.deploy.errors import WorkspaceError

PLAY = """\
#!{python}
import json, os, sys, time
if sys.argv[1:] == ["sleep"]:
    time.sleep(6000)
if sys.argv[1:] == ["fail"]:
    sys.exit(
        "Error: b'{{\\"error_code\\": \\"INVALID_STATE\\", "
        "\\"message\\": \\"Running\\"}}'"
    )
if sys.argv[1:] == ["chat"]:
    print("no JSON")
    sys.exit()
names = [
    "DATABRICKS_HOST",
    "DATABRICKS_TOKEN",
    "DATABRICKS_CONFIG_FILE",
    "http_proxy",
    "no_proxy",
    "DATABRICKS_JUNK",
]
env = {{name: os.environ.get(name) for name in names}}
print(json.dumps({{"argv": sys.argv[1:], "env": env}}))
"""


def cli(tmp_path: Path, host: str, seconds: float = 600) -> DatabricksCli:
    program = tmp_path / "databricks"
    program.write_text(PLAY.format(python=sys.executable))
    program.chmod(0o755)
    env = {"no_proxy": "127.0.0.1", "DATABRICKS_JUNK": "of the user"}
    return DatabricksCli(program, host, "dapi-secret", env, seconds=seconds)


def test_token_goes_by_the_environment_alone(tmp_path: Path) -> None:
    printed = cli(tmp_path, "https://example.com").json(
        "clusters", "get", "--cluster-id", "x"
    )
    assert printed["argv"] == ["clusters", "get", "--cluster-id", "x"]
    assert printed["env"] == {
        "DATABRICKS_HOST": "https://example.com",
        "DATABRICKS_TOKEN": "dapi-secret",
        "DATABRICKS_CONFIG_FILE": "/dev/null",
        "http_proxy": None,
        "no_proxy": "127.0.0.1",
        "DATABRICKS_JUNK": None,
    }


def test_host_with_a_port_is_reached_as_a_proxy(tmp_path: Path) -> None:
    env = cli(tmp_path, "http://127.0.0.1:8080").json("x")["env"]
    assert (env["DATABRICKS_HOST"], env["http_proxy"], env["no_proxy"]) == (
        BEHIND_PROXY,
        "http://127.0.0.1:8080",
        "",
    )


def test_command_without_an_answer_is_ended(tmp_path: Path) -> None:
    with pytest.raises(
        WorkspaceError, match=r"databricks sleep had no answer within 0.2 s"
    ) as caught:
        cli(tmp_path, "https://example.com", seconds=0.2).text("sleep")
    assert caught.value.retryable


def test_error_of_a_command_has_its_code(tmp_path: Path) -> None:
    with pytest.raises(
        WorkspaceError, match="databricks fail: INVALID_STATE: Running"
    ) as caught:
        cli(tmp_path, "https://example.com").text("fail")
    assert (caught.value.code, caught.value.retryable) == ("INVALID_STATE", False)


def test_output_that_is_not_json_is_retryable(tmp_path: Path) -> None:
    with pytest.raises(
        WorkspaceError, match="databricks chat printed no JSON: no JSON"
    ) as caught:
        cli(tmp_path, "https://example.com").json("chat")
    assert caught.value.retryable


def body(code: str) -> str:
    return f"Error: {json.dumps({'error_code': code, 'message': 'm'}).encode()!r}\n"


@pytest.mark.parametrize(
    ("output", "code", "retryable"),
    [
        (body("TEMPORARILY_UNAVAILABLE"), "TEMPORARILY_UNAVAILABLE", True),
        (body("REQUEST_LIMIT_EXCEEDED"), "REQUEST_LIMIT_EXCEEDED", True),
        (body("RESOURCE_DOES_NOT_EXIST"), "RESOURCE_DOES_NOT_EXIST", False),
        ("Error: b'<html>bad gateway</html>'", "", True),
        (
            "Error: ConnectionError: ('Connection aborted.', RemoteDisconnected(...))",
            "",
            True,
        ),
        ("Error: JSONDecodeError: Expecting value", "", True),
        (
            (
                "Error: Authorization failed. Your token may be expired or lack the"
                " valid scope"
            ),
            "UNAUTHENTICATED",
            False,
        ),
        ("Usage: databricks ...", "", False),
    ],
)
def test_errors(output: str, code: str, retryable: bool) -> None:
    error = failed(["runs", "submit", "--json", "{}"], output)
    assert (error.code, error.retryable) == (code, retryable)
    assert str(error).startswith("databricks runs submit: ")


def test_an_error_that_is_cut_holds_no_part_of_the_token(tmp_path: Path) -> None:
    program = tmp_path / "databricks"
    # The shown part, the last 300 characters, starts in the middle of the token.
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "sys.exit(os.environ['DATABRICKS_TOKEN'] + 'x' * 290)\n"
    )
    program.chmod(0o755)
    with pytest.raises(WorkspaceError) as caught:
        DatabricksCli(program, "https://example.com", "dapi0123456789abcdef", {}).text(
            "runs", "list"
        )
    assert "abcdef" not in str(caught.value) and "x" * 290 in str(caught.value)


def test_a_program_that_is_missing_is_an_error_with_its_name(tmp_path: Path) -> None:
    missing = DatabricksCli(
        tmp_path / "databricks", "https://example.com", "dapi0123456789", {}
    )
    with pytest.raises(
        WorkspaceError, match="databricks could not be started: No such file"
    ) as caught:
        missing.json("runs", "list")
    assert not caught.value.retryable
