from __future__ import annotations

import json

from lakekit_api.errors import InvalidParameterError, ProblemError, respond


def test_problem_is_json_as_rfc_9457_has_it() -> None:
    answer = respond(ProblemError(410, "It is gone.", {"Retry-After": "1"}), "id-1")
    assert (answer.status_code, answer.media_type, answer.headers["retry-after"]) == (
        410,
        "application/problem+json",
        "1",
    )
    assert json.loads(bytes(answer.body)) == {
        "type": "about:blank",
        "title": "Gone",
        "status": 410,
        "detail": "It is gone.",
        "request_id": "id-1",
    }


def test_wrong_parameter_is_named() -> None:
    assert (
        json.loads(bytes(respond(InvalidParameterError("n", "No."), "id-1").body))[
            "parameter"
        ]
        == "n"
    )
