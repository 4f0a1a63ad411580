"""Secrets are replaced in all encodings that programs use. Text that is not secret
stays unchanged.
"""

from __future__ import annotations

import base64
import html
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree as ET

import markupsafe
import pytest

from lake_ci.model.results import CheckResult, Finding, Status
from lake_ci.system.redaction import HIDDEN, Redactor, strip_secrets

TOKEN = "dapi0123456789abcdef"
# For each encoding, this text contains characters that the encoding changes.
ODD = "p'a\"s\\s/w+o&r<d>%üé"
KEY = (
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n9w0BAQEFAASCBKcwggSj\nab=\n"
    "-----END KEY-----\n"
)


def xml(text: str) -> str:
    return ET.tostring(ET.Element("a", {"b": text}), encoding="unicode")


@pytest.mark.parametrize(
    "encode",
    [
        str,
        repr,
        ascii,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: repr(text.encode()),
        lambda text: repr(json.dumps({"message": text}).encode()),
        lambda text: json.dumps({"message": json.dumps(text)}),
        quote,
        quote_plus,
        lambda text: quote(text, safe=""),
        lambda text: quote(text, safe="!'()*"),
        html.escape,
        lambda text: str(markupsafe.escape(text)),
        xml,
        shlex.quote,
    ],
)
@pytest.mark.parametrize("secret", [TOKEN, ODD])
def test_redactor_replaces_a_secret_in_every_encoding(
    secret: str, encode: object
) -> None:
    assert callable(encode)
    text = encode(f"before {secret} after")
    redacted = Redactor([secret])(text)
    assert HIDDEN in redacted
    assert encode(f"before {HIDDEN} after") in (
        redacted,
        redacted.replace(HIDDEN, quote(HIDDEN)),
    )


def test_redactor_replaces_percent_encoding_in_lower_case() -> None:
    text = "https://host/?token=p%c3%a4ssw%2frd"
    assert Redactor(["pässw/rd"])(text) == f"https://host/?token={HIDDEN}"


@pytest.mark.parametrize("user", ["", "token", "me", "x-access-token", "you"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("secret", [TOKEN, ODD, "12345678"])
def test_redactor_replaces_basic_authentication_of_any_user(
    secret: str, encode: object, user: str
) -> None:
    assert callable(encode)
    for text in (f"{user}:{secret}", f"{user}:{secret} and more"):
        encoded = encode(text.encode()).decode()
        redacted = Redactor([secret])(f"Authorization: Basic {encoded}")
        visible = redacted.removeprefix("Authorization: Basic ").split(HIDDEN)
        assert len(visible) == 2
        # Of the secret, at most one whole character remains visible on each side.
        assert len(visible[0]) <= len(encode(f"{user}:".encode()).rstrip(b"=")) + 1


@pytest.mark.parametrize("around", ["{}\n", " {}", "\r\n{}\t"])
def test_redactor_knows_a_secret_without_the_space_around_it(around: str) -> None:
    redact = Redactor([around.format(TOKEN)])
    assert redact(f"Bearer {TOKEN}") == f"Bearer {HIDDEN}"
    raw = f"Invalid header value {around.format(TOKEN).encode()!r}"
    assert TOKEN not in redact(raw)
    assert TOKEN not in redact(json.dumps({"detail": raw}))


def test_redactor_replaces_each_line_of_a_secret_with_several() -> None:
    redact = Redactor([KEY])
    for line in KEY.splitlines():
        assert redact(f"| {line}\n") == (
            f"| {HIDDEN}\n" if len(line) >= 8 else f"| {line}\n"
        )
    assert redact(json.dumps(KEY.strip())) == f'"{HIDDEN}"'
    assert redact(base64.b64encode(KEY.strip().encode()).decode()).startswith(HIDDEN)


@pytest.mark.parametrize(
    "short", ["", " ", "\n", "a", "1", "true", "testing", "1234567\n"]
)
def test_redactor_ignores_values_too_short_to_be_a_secret(short: str) -> None:
    text = "a true test of testing/unit: 1 passed,\n1234567 bytes"
    assert Redactor([short])(text) == text
    assert Redactor.of({"DATABRICKS_TOKEN": short})(text) == text


def test_redactor_knows_a_secret_by_what_is_between_control_characters() -> None:
    redact = Redactor(["first part\tsecond part"])
    assert redact("first part^Isecond part") == f"{HIDDEN}^I{HIDDEN}"
    assert redact(xml("first part\tsecond part")) == f'<a b="{HIDDEN}" />'


def test_redactor_knows_a_line_with_short_parts() -> None:
    secret = "the first line\nfour\tfour"
    assert Redactor([secret])("four\tfour, four") == f"{HIDDEN}, four"


def test_redactor_of_bytes_that_are_not_utf_8() -> None:
    raw = b"secret-\xff\xfe-value"
    redact = Redactor([raw.decode("utf-8", "surrogateescape")])
    assert redact(raw.decode("utf-8", "replace")) == HIDDEN
    assert redact(raw.decode("utf-8", "surrogateescape")) == HIDDEN


def test_a_secret_within_another_does_not_break_it_up() -> None:
    assert (
        Redactor(["abcdefgh", "abcdefghijkl"])("abcdefghijkl abcdefgh")
        == f"{HIDDEN} {HIDDEN}"
    )


@pytest.mark.parametrize(
    "name",
    [
        "DATABRICKS_TOKEN",
        "DATABRICKS_CLIENT_SECRET",
        "DATABRICKS_PASSWORD",
        "DATABRICKS_GOOGLE_CREDENTIALS",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "ARM_CLIENT_SECRET",
        "AZURE_CLIENT_SECRET",
        "ARM_ACCESS_KEY",
        "AZURE_STORAGE_CONNECTION_STRING",
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACTIONS_RUNTIME_TOKEN",
        "CODECOV_TOKEN",
        "SAFETY_API_KEY",
        "SEMGREP_APP_TOKEN",
        "TF_TOKEN_app_terraform_io",
        "TF_VAR_db_password",
        "TWINE_PASSWORD",
        "UV_PUBLISH_TOKEN",
        "DOCKER_AUTH_CONFIG",
        "LAKEKIT_API_TOKENS",
        "WORKSPACE_EMULATOR_TOKEN",
        "PGPASSWORD",
        "SNOWSQL_PWD",
        "SENTRY_DSN",
        "AZURE_STORAGE_SAS",
        "SLACK_WEBHOOK_URL",
        "TEAMS_WEBHOOK",
    ],
)
def test_redactor_of_an_environment_knows_the_variables_that_hold_secrets(
    name: str,
) -> None:
    assert Redactor.of({name: TOKEN})(f"x{TOKEN}x") == f"x{HIDDEN}x"


@pytest.mark.parametrize(
    "name",
    [
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "DATABRICKS_CLIENT_ID",
        "DATABRICKS_HOST",
        "HOME",
        "OLDPWD",
        "PATH",
        "PWD",
        "TOKENIZERS_PARALLELISM",
    ],
)
def test_redactor_of_an_environment_leaves_other_variables(name: str) -> None:
    assert Redactor.of({name: "some-value"})("some-value") == "some-value"


def test_redactor_of_an_environment_knows_a_token_in_place_of_a_user() -> None:
    env = {"INDEX": f"https://{TOKEN}@index/simple", "REMOTE": "ssh://git@host/x"}
    text = f"https://{TOKEN}@index and ssh://git@host/x"
    assert Redactor.of(env)(text) == f"https://{HIDDEN}@index and ssh://git@host/x"


def test_redactor_of_an_environment_knows_the_parts_of_a_connection_string() -> None:
    env = {
        "STORAGE_CONNECTION_STRING": f"AccountName=lake;AccountKey={TOKEN}==;Ends=x",
        "WAREHOUSE_DSN": "host=warehouse;user=someone;password=hunter2hunter2",
    }
    text = f"lake {TOKEN}== warehouse someone hunter2hunter2"
    assert Redactor.of(env)(text) == f"lake {HIDDEN} warehouse someone {HIDDEN}"


def test_redactor_of_an_environment_knows_the_passwords_in_addresses() -> None:
    env = {
        "https_proxy": "http://me:hunter2hunter2@proxy:3128",
        "DATABRICKS_HOST": "https://h:8443",
    }
    text = "https://me:hunter2hunter2@index/simple and https://h:8443"
    assert (
        Redactor.of(env)(text) == f"https://me:{HIDDEN}@index/simple and https://h:8443"
    )


def test_redactor_including_knows_the_old_and_the_new() -> None:
    redact = Redactor(["first-secret"])
    more = redact.including("second-secret").including_env({"GH_TOKEN": "third-secret"})
    assert more("first-secret second-secret third-secret") == " ".join([HIDDEN] * 3)
    assert redact("second-secret") == "second-secret"
    assert redact.including("first-secret") is redact


@dataclass(frozen=True)
class Holder:
    rows: tuple[object, ...]


def test_tree_redacts_every_text_and_keeps_all_else() -> None:
    found = Finding("deploy", "error", f"Bearer {TOKEN}", f"{TOKEN}.py", 7)
    check = CheckResult(
        "deploy", Status.FAILURE, 1.5, TOKEN, (found,), None, {TOKEN: [TOKEN, 1, None]}
    )
    redacted = Redactor([TOKEN]).tree(Holder((check, 2.5, True)))
    hidden = Finding("deploy", "error", f"Bearer {HIDDEN}", f"{HIDDEN}.py", 7)
    data = {HIDDEN: [HIDDEN, 1, None]}
    expected = CheckResult("deploy", Status.FAILURE, 1.5, HIDDEN, (hidden,), None, data)
    assert redacted == Holder((expected, 2.5, True))
    row = redacted.rows[0]
    assert row.status is Status.FAILURE  # type: ignore[attr-defined]  # a Check


def test_file_is_redacted_in_place_and_not_touched_without_a_secret(
    tmp_path: Path,
) -> None:
    leaky, clean = tmp_path / "junit.xml", tmp_path / "plan.bin"
    leaky.write_text(
        f'<failure message="{html.escape(ODD)}">{TOKEN}</failure>', encoding="utf-8"
    )
    clean.write_bytes(b"\xff\x00 no secret")
    before = clean.stat()
    redact = Redactor([TOKEN, ODD])
    assert (redact.file(leaky), redact.file(clean)) == (True, False)
    assert leaky.read_text() == f'<failure message="{HIDDEN}">{HIDDEN}</failure>'
    assert (clean.read_bytes(), clean.stat()) == (b"\xff\x00 no secret", before)


def test_strip_secrets_removes_white_space_around_secrets_alone() -> None:
    env = {
        "DATABRICKS_TOKEN": f"{TOKEN}\n",
        "GH_TOKEN": TOKEN,
        "AWS_SESSION_TOKEN": " \r\n",
        "PS1": "> ",
    }
    strip_secrets(env)
    assert env == {
        "DATABRICKS_TOKEN": TOKEN,
        "GH_TOKEN": TOKEN,
        "AWS_SESSION_TOKEN": "",
        "PS1": "> ",
    }


def test_cost_grows_with_the_secrets_and_not_with_the_forms_of_a_plain_one() -> None:
    # All encodings except Base64 leave a plain token unchanged.
    assert len(Redactor([TOKEN])._forms) <= 1 + 3
    more = KEY + "".join(f"{number:064d}\n" for number in range(50))
    assert len(Redactor([more])._forms) == len(Redactor([KEY])._forms) + 50
    assert len(Redactor([ODD])._forms) < 200
