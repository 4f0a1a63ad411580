"""Tests that blocks, providers and assignments are located in Terraform files."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake_ci.checks.terraform import hcl

MAIN = """\
# resource "aws_s3_bucket" "in_a_comment" {
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

module "lake" {
  source = "./modules/bucket"
  name   = "lake"
}

module "foreign" {
  source = "example/module/aws"
}

data "aws_iam_policy_document" "logs" {
  statement {
    actions = ["s3:PutObject"]
  }
}
"""
BUCKET = """\
resource "aws_s3_bucket" "this" {
  bucket = var.name
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.bucket

  versioning_configuration {
    status = "Enabled"
  }
}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {"main.tf": MAIN, "modules/bucket/main.tf": BUCKET}.items():
        file = tmp_path / "terraform" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("address", "file", "line"),
    [
        ("module.lake.aws_s3_bucket.this", "terraform/modules/bucket/main.tf", 1),
        (
            'module.lake["a.b"].aws_s3_bucket_versioning.this[0]',
            "terraform/modules/bucket/main.tf",
            5,
        ),
        ("data.aws_iam_policy_document.logs", "terraform/main.tf", 20),
        ("module.lake", "terraform/main.tf", 11),
        # If the block of an address is not in the project, the call of its module is
        # reported.
        ("module.foreign.aws_s3_bucket.this", "terraform/main.tf", 16),
        ("module.lake.aws_s3_bucket.other", "terraform/main.tf", 11),
    ],
)
def test_an_address_is_found_at_its_block(
    tree: Path, address: str, file: str, line: int
) -> None:
    block = hcl.locate(tree, "terraform", address)
    assert block is not None
    assert (block.file, block.line) == (file, line)


@pytest.mark.parametrize(
    "address", ["aws_s3_bucket.in_a_comment", "module.nowhere.aws_s3_bucket.this"]
)
def test_an_address_that_nothing_declares_is_found_nowhere(
    tree: Path, address: str
) -> None:
    assert hcl.locate(tree, "terraform", address) is None


def test_a_text_is_found_inside_its_block_only(tree: Path) -> None:
    block = hcl.locate(tree, "terraform", "module.lake.aws_s3_bucket_versioning.this")
    assert block is not None
    assert block.line_of("status") == 9
    assert block.line_of("var.name") == block.line_of("") == 5


def test_a_provider_is_found_where_it_is_asked_for(tree: Path) -> None:
    (tree / "terraform" / "a").mkdir()
    (tree / "terraform" / "a" / "main.tf").write_text('source = "hashicorp/aws"\n')
    assert hcl.line_of_provider(tree, "terraform", "hashicorp/aws") == (
        "terraform/main.tf",
        5,
    )
    assert hcl.line_of_provider(tree, "terraform", "hashicorp/random") is None


def test_only_what_stands_outside_of_values_is_an_assignment() -> None:
    text = """\
name = "a { b" # a = 1
list = [
inner = "looks like one, and is none",
]
object = {
  inside = 1
}
text = <<-EOT
  other = 1
EOT
  indented = true
"""
    found = list(hcl.assignments(text))
    assert found == [
        ("name", 1),
        ("list", 2),
        ("object", 5),
        ("text", 8),
        ("indented", 11),
    ]
