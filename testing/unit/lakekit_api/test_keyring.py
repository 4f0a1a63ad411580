from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any, Callable, List

import pytest
from fastapi.testclient import TestClient

from lakekit_api import Settings, create_app, tokens
from lakekit_api.errors import StartupError
from lakekit_api.keyring import Keyring, TokenFile

NAMES = ["gold.trips", "gold.other"]
FIRST, SECOND = (tokens.make(name, ["*"]) for name in ("first", "second"))


def names(file: TokenFile) -> List[str]:
    return [token.name for token in file.tokens]


def settle(file: TokenFile) -> None:
    """Poll twice: changed content is used only after two polls have read the same
    content.
    """
    file.poll()
    file.poll()


def lines(*made: Any) -> str:
    return "".join(f"{token.line()}\n" for _, token in made)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(lines(FIRST, SECOND))
    return path


def test_changed_file_is_read_again(path: Path) -> None:
    file = TokenFile(str(path), NAMES)
    assert names(file) == ["first", "second"]
    path.write_text(lines(SECOND))
    file.poll()
    assert names(file) == ["first", "second"]  # the new content may be incomplete
    file.poll()
    assert names(file) == ["second"]


def test_change_with_the_same_size_and_time_is_seen(path: Path) -> None:
    file, times = TokenFile(str(path), NAMES), (path.stat().st_atime,) * 2
    text = path.read_text()
    path.write_text(text.replace("first", "third"))
    os.utime(path, times)
    settle(file)
    assert names(file) == ["third", "second"]


def test_secret_of_kubernetes_is_read_again(tmp_path: Path) -> None:
    """Each file of a mounted Secret is a link to a file below `..data`, and `..data` is
    a link to a folder. When the Secret changes, Kubernetes replaces only the link
    `..data`.
    """
    for folder, made in (("..1", (FIRST, SECOND)), ("..2", (SECOND,))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tokens").write_text(lines(*made))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "tokens").symlink_to("..data/tokens")
    file = TokenFile(str(tmp_path / "tokens"), NAMES)
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    settle(file)
    assert names(file) == ["second"]


def test_invalid_line_ends_its_token_only(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = TokenFile(str(path), NAMES)
    path.write_text(lines(FIRST).replace("sha256:", "sha256:x") + lines(SECOND))
    settle(file)
    assert names(file) == ["second"]
    [record] = [each for each in caplog.records if each.levelname == "ERROR"]
    reason = record.fields["reason"]  # type: ignore[attr-defined]  # logs.log adds it
    assert reason.startswith(f"{path}, line 1 does not")


@pytest.mark.parametrize("damage", [Path.unlink, lambda p: p.write_bytes(b"\xff\xfe")])
def test_tokens_of_a_file_that_cannot_be_read_end(
    damage: Callable[[Path], Any], path: Path
) -> None:
    file = TokenFile(str(path), NAMES)
    damage(path)
    settle(file)
    assert names(file) == []
    path.unlink(missing_ok=True)
    path.write_text(lines(FIRST))
    settle(file)
    assert names(file) == ["first"]


def test_file_may_have_a_byte_order_mark(path: Path) -> None:
    path.write_text(lines(FIRST), encoding="utf-8-sig")
    assert names(TokenFile(str(path), NAMES)) == ["first"]


def test_revoked_token_is_refused_and_a_new_one_taken(
    settings: Settings, path: Path
) -> None:
    path.write_text(lines(FIRST))
    app = create_app(settings, Keyring((), TokenFile(str(path), NAMES)))

    def status(client: TestClient, made: Any) -> int:
        headers = {"Authorization": f"Bearer {made[0]}"}
        return client.get("/gold/trips", headers=headers).status_code

    with TestClient(app, "http://localhost") as client:
        assert (status(client, FIRST), status(client, SECOND)) == (200, 401)
        path.write_text(lines(SECOND))
        while status(client, FIRST) == 200:
            pass  # wait for the next poll of the file
        assert (status(client, FIRST), status(client, SECOND)) == (401, 200)


def test_expired_token_is_refused(settings: Settings) -> None:
    now = datetime.datetime.now(tokens.UTC)
    hour = datetime.timedelta(hours=1)
    ended, valid = (tokens.make("a", ["*"], now + each) for each in (-hour, hour))
    app = create_app(settings, [ended[1], valid[1]])
    with TestClient(app, "http://localhost") as client:
        found = [
            client.get("/gold/trips", headers={"Authorization": f"Bearer {secret}"})
            for secret, _ in (ended, valid)
        ]
    assert [each.status_code for each in found] == [401, 200]
    assert found[0].json()["detail"] == "The token has expired."
    assert 'error="invalid_token"' in found[0].headers["www-authenticate"]


def test_end_of_a_token_is_restored_from_its_line() -> None:
    end = datetime.datetime(2999, 1, 31, 17, tzinfo=tokens.UTC)
    _, token = tokens.make("a", ["*"], end)
    assert tokens.read(token.line(), "x", NAMES) == (token,)
    assert not token.expired(end - datetime.timedelta(seconds=1))
    assert token.expired(end)


@pytest.mark.parametrize("end", ["2999-01-31", "never", "2999-02-30T00:00:00Z"])
def test_line_with_another_end_is_refused(end: str) -> None:
    line = f"{FIRST[1].line()} expires:{end}"
    with pytest.raises(StartupError, match="x, line 1: the expiry is not an instant"):
        tokens.read(line, "x", NAMES)
