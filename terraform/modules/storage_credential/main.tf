# The role of a Unity Catalog storage credential: https://docs.databricks.com/aws/en/connect/unity-catalog/cloud-storage/s3/s3-external-location-manual
locals {
  # The role's trust policy contains this ARN, so it cannot be read from the role.
  arn = "arn:aws:iam::${var.account_id}:role/${var.name}"
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "UnityCatalog"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = [var.databricks_role_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }

  statement {
    sid     = "Itself"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${var.account_id}:root"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:PrincipalArn"
      values   = [local.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }
}

data "aws_iam_policy_document" "access" {
  statement {
    sid       = "Objects"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = [for prefix in var.prefixes : "${var.bucket_arn}/${prefix}/*"]
  }

  statement {
    sid       = "Bucket"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [var.bucket_arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
    resources = [var.key_arn]
  }

  statement {
    sid       = "Itself"
    actions   = ["sts:AssumeRole"]
    resources = [local.arn]
  }
}

resource "aws_iam_role" "unity_catalog" {
  #checkov:skip=CKV_AWS_61:a condition restricts the principal, which is the account, to the role itself
  name               = var.name
  description        = "Unity Catalog reads and writes the lake with this role"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "lake" {
  name   = "lake"
  role   = aws_iam_role.unity_catalog.id
  policy = data.aws_iam_policy_document.access.json
}
