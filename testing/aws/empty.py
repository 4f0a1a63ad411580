"""Deletes all versions of all objects in the account, except in the bucket of
Terraform's states. Works only on loopback.

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
        # Switch off access logs, because each deletion would add a line to the bucket
        # of logs.
        bucket.Logging().put(BucketLoggingStatus={})
        # Delete the policy that denies requests over plain HTTP. moto ignores the
        # condition, so the policy would deny all requests.
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
