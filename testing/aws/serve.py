"""Runs moto, which emulates AWS, on a free port of the loopback interface. Each
environment has an account. The server ends when standard input ends.

After the script has created the buckets for Terraform's states, it prints one line of
JSON. The line contains the endpoint and, for each environment, the keys of a session in
the environment's account.

    python testing/aws/serve.py \\
        '{"dev": {"account": "333344445555", "bucket": "states"}}'
"""

from __future__ import annotations

import json
import sys

import boto3
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"


def main(environments: dict[str, dict[str, str]]) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    sts = boto3.client("sts", endpoint_url=endpoint, region_name=REGION)
    sessions = {}
    for name, environment in environments.items():
        role = f"arn:aws:iam::{environment['account']}:role/rehearsal"
        given = sts.assume_role(RoleArn=role, RoleSessionName="rehearsal")[
            "Credentials"
        ]
        keys = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
        if environment["bucket"]:
            account = boto3.Session(*keys, region_name=REGION)
            account.resource("s3", endpoint_url=endpoint).create_bucket(
                Bucket=environment["bucket"],
                CreateBucketConfiguration={"LocationConstraint": REGION},
            )
        names = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
        sessions[name] = dict(zip(names, keys))
    print(json.dumps({"endpoint": endpoint, "sessions": sessions}), flush=True)
    # Standard input ends even if the parent process is killed.
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
