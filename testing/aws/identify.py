"""Prints the AWS account to which the credentials in the environment belong."""

from __future__ import annotations

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = "eu-central-1"


def main() -> int:
    settings = Config(
        connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2}
    )
    try:
        session = boto3.Session()
        sts = session.client(
            "sts", region_name=session.region_name or REGION, config=settings
        )
        print(sts.get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
