"""Delete every version of every object of the account, but for the bucket of Terraform's states; on loopback only.

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
        print(f"not on loopback, so nothing is deleted: {endpoint or 'AWS itself'}", file=sys.stderr)
        return 2
    for bucket in boto3.resource("s3", endpoint_url=endpoint, region_name="eu-central-1").buckets.all():
        if bucket.name != kept:
            bucket.object_versions.delete()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
