# A private, encrypted and versioned bucket that is accessible only with TLS.
resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144:the lake is in one region; if the region fails, the lake is loaded again from the sources
  #checkov:skip=CKV2_AWS_62:no program needs events, because runs start on a schedule
  #checkov:skip=CKV_AWS_18:the lake's bucket writes its access log to the bucket of logs, which has no access log
  #checkov:skip=CKV_AWS_145:the lake's bucket uses the lake's key; log delivery can only use S3's own keys
  bucket = var.name
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.bucket

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.bucket

  rule {
    bucket_key_enabled = var.key != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = local.algorithm
      kms_master_key_id = one(var.key[*].arn)
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  #checkov:skip=CKV_AWS_300:the last rule aborts unfinished uploads; checkov does not find it next to a dynamic rule
  bucket = aws_s3_bucket.this.bucket

  dynamic "rule" {
    for_each = var.rules

    content {
      id     = rule.value.id
      status = "Enabled"

      filter {
        prefix = rule.value.prefix
      }

      noncurrent_version_expiration {
        noncurrent_days = rule.value.noncurrent_days
      }

      dynamic "transition" {
        for_each = rule.value.tiering_days[*]

        content {
          days          = transition.value
          storage_class = "INTELLIGENT_TIERING"
        }
      }

      dynamic "expiration" {
        for_each = rule.value.expire_days[*]

        content {
          days = expiration.value
        }
      }
    }
  }

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 3
    }
  }

  # Versioning must exist before a lifecycle rule for old versions.
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_logging" "this" {
  count = var.log == null ? 0 : 1

  bucket        = aws_s3_bucket.this.bucket
  target_bucket = var.log.bucket
  target_prefix = "${var.name}/"
}
