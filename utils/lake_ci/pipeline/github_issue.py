"""Reports failed nightly runs in a single GitHub issue.

If the issue is not open, a failed run opens it. If the issue is already open, a failed
run adds a comment.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from lake_ci.errors import LakeCiError

TITLE = "The nightly run failed"
# GitHub accepts at most 65,536 characters in the body of an issue.
LONGEST = 60_000
TIMEOUT_SECONDS = 30


def tell(text: str, env: Mapping[str, str]) -> str:
    """Open the issue with this text, or add the text to the open issue; return the URL.

    Args:
        text: Markdown. If the text is too long for an issue, the end of the text is cut
            off. The URL of the run is added before the text.
        env: the environment variables; they must include GITHUB_API_URL,
            GITHUB_REPOSITORY, GITHUB_SERVER_URL, GITHUB_RUN_ID, and a GITHUB_TOKEN with
            the permission `issues: write`.

    Raises:
        LakeCiError: GitHub rejected a request, or could not be reached.
    """
    repository = env["GITHUB_REPOSITORY"]
    issues = f"{env['GITHUB_API_URL']}/repos/{repository}/issues"
    page = f"{env['GITHUB_SERVER_URL']}/{repository}"
    run = f"{page}/actions/runs/{env['GITHUB_RUN_ID']}"
    body = (
        text
        if len(text) <= LONGEST
        else f"{text[:LONGEST].rpartition(chr(10))[0]}\n\n(cut)"
    )
    body = f"{run}\n\n{body}"
    listed = _call(
        "GET", f"{issues}?state=open&per_page=100&creator=github-actions%5Bbot%5D", env
    )
    for issue in listed:
        if issue["title"] == TITLE and "pull_request" not in issue:
            return str(
                _call(
                    "POST", f"{issues}/{issue['number']}/comments", env, {"body": body}
                )["html_url"]
            )
    return str(_call("POST", issues, env, {"title": TITLE, "body": body})["html_url"])


def _call(
    method: str, url: str, env: Mapping[str, str], body: Mapping[str, str] | None = None
) -> Any:
    request = urllib.request.Request(
        url,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {env['GITHUB_TOKEN']}",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        hint = "the job needs `issues: write`" if error.code == 403 else None
        raise LakeCiError(
            f"GitHub answered {error.code} to {method} {url.partition('?')[0]}", hint
        ) from None
    except (OSError, ValueError) as error:
        raise LakeCiError(
            f"the issue on GitHub could not be written: {error}"
        ) from None
