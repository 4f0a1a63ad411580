"""The locations where Spark may write a lake."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Dict

import pytest

from lakekit.errors import InvalidLakeError
from lakekit.storage.lake import Lake


def session(settings: Dict[str, str]) -> Any:
    return SimpleNamespace(conf=settings)


def test_bucket_needs_a_log_store_outside_databricks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lakekit.engines.spark.session import check_place

    bucket = Lake("s3", "s3://bucket")
    with pytest.raises(InvalidLakeError, match="s3://bucket is on S3"):
        check_place(bucket, session({}))
    check_place(
        bucket,
        session(
            {"spark.delta.logStore.s3a.impl": "io.delta.storage.S3DynamoDBLogStore"}
        ),
    )
    check_place(Lake("folder", "/lake"), session({}))
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "14.3")
    check_place(bucket, session({}))
