# Tests the properties of every bucket, both for the lake and for logs.
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name = "example"
  key  = { arn = "arn:aws:kms:eu-central-1:111122223333:key/example" }
  log  = { bucket = "example-logs" }
  rules = [
    { id = "bronze", prefix = "bronze/", noncurrent_days = 90, tiering_days = 30 },
    { id = "gold", prefix = "gold/", noncurrent_days = 20 },
  ]
}

run "it_is_private_versioned_and_encrypted_with_the_key" {
  module {
    source = "./modules/bucket"
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "the bucket can be made public"
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "the bucket is not versioned"
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.key.arn
    error_message = "the bucket is not encrypted with the key"
  }

  assert {
    condition     = aws_s3_bucket_logging.this[0].target_bucket == "example-logs"
    error_message = "the bucket has no access log"
  }
}

run "its_policy_refuses_plain_http_other_encryption_client_keys_and_other_keys" {
  module {
    source = "./modules/bucket"
  }

  assert {
    condition = [for statement in data.aws_iam_policy_document.this.statement : statement.sid if statement.effect == "Deny"] == [
      "TlsOnly", "ModernTlsOnly", "EncryptedOnly", "NoClientKeys", "OwnKeyOnly"
    ]
    error_message = "the policy does not have exactly these Deny statements"
  }
}

run "each_layer_has_its_own_rule_and_no_current_object_expires" {
  module {
    source = "./modules/bucket"
  }

  assert {
    condition = tomap({ bronze = 90, gold = 20 }) == tomap({
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule :
      rule.id => rule.noncurrent_version_expiration[0].noncurrent_days if rule.id != "unfinished-uploads"
    })
    error_message = "old versions do not expire after the given days"
  }

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : length(rule.expiration) == 0])
    error_message = "a current object would expire, but only VACUUM knows which objects no table needs"
  }
}

run "a_bucket_of_logs_uses_the_keys_of_s3_and_its_logs_expire" {
  module {
    source = "./modules/bucket"
  }

  variables {
    key   = null
    log   = null
    rules = [{ id = "logs", prefix = "", noncurrent_days = 7, expire_days = 365 }]
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "log delivery could not write to the bucket"
  }

  assert {
    condition     = length(aws_s3_bucket_logging.this) == 0
    error_message = "a bucket of logs would write its access log to itself"
  }

  assert {
    condition     = one(one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule if rule.id == "logs"]).expiration).days == 365
    error_message = "logs never expire"
  }
}
