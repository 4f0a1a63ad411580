"""Fixtures for the tests of the Terraform checks."""

from __future__ import annotations

import pytest

from lake_ci.runner.check import CheckContext

MAIN = """\
resource "aws_s3_bucket" "lake" {
  bucket = "lake"
}

resource "aws_s3_bucket_public_access_block" "lake" {
  bucket                  = aws_s3_bucket.lake.bucket
  block_public_acls       = true
  block_public_policy     = false
  ignore_public_acls      = true
  restrict_public_buckets = true
}

data "aws_iam_policy_document" "access" {
  statement {
    actions = [
      "s3:GetObject",
      "s3:*",
    ]
  }
}

resource "aws_s3_bucket_versioning" "lake" {
  bucket = aws_s3_bucket.lake.bucket

  versioning_configuration {
    status = "Suspended"
  }
}
"""


@pytest.fixture
def ctx(ctx: CheckContext) -> CheckContext:
    (ctx.root / "terraform").mkdir()
    (ctx.root / "terraform" / "main.tf").write_text(MAIN)
    (ctx.root / "pyproject.toml").write_text(
        "[tool.lake_ci.terraform]\nmay_differ = []\n"
    )
    return ctx
