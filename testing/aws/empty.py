"""Deletes every version of every object of the account, except in the bucket of
Terraform's states. Works on loopback only.

    python testing/aws/empty.py STATES
"""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

import boto3


def main(kept: str) -> int:
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if urlsplit(endpoint).hostname != "127.0.0.1":
        print(
            f"not on loopback, so nothing is deleted: {endpoint or 'AWS itself'}",
            file=sys.stderr,
        )
        return 2
    s3 = boto3.resource("s3", endpoint_url=endpoint, region_name="eu-central-1")
    buckets = [bucket for bucket in s3.buckets.all() if bucket.name != kept]
    for bucket in buckets:
        # Otherwise each request that deletes a bucket adds a line to the bucket of
        # logs.
        bucket.Logging().put(BucketLoggingStatus={})
        # The policy denies plain HTTP, and moto applies a denial without its condition.
        bucket.Policy().delete()
    answers = [
        answer for bucket in buckets for answer in bucket.object_versions.delete()
    ]
    errors = [error for answer in answers for error in answer.get("Errors", ())]
    for error in errors[:1]:
        print(f"{error['Key']}: {error['Message']}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
