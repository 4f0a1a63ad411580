locals {
  prefix   = "${var.name}-${var.environment}"
  releases = "releases"
  layers = {
    bronze = var.retention.bronze_days
    silver = var.retention.silver_days
    gold   = var.retention.gold_days
    # Rows that lakekit refused.
    quarantine = var.retention.quarantine_days
  }
  logs_name = "${local.prefix}-logs-${var.account_id}"
  lake_name = "${local.prefix}-${var.account_id}"
}

module "key" {
  source = "./modules/key"

  name       = local.prefix
  account_id = var.account_id
  region     = var.region
}

# One bucket with a prefix for each layer: for lakekit, a lake is one `s3://` prefix.
# Lifecycle and read permissions differ between layers, but S3 and IAM can set both for
# a prefix, and one external location is enough for Unity Catalog.
module "lake" {
  source = "./modules/bucket"

  name = local.lake_name
  key  = { arn = module.key.arn }
  log  = { bucket = module.logs.name }
  rules = concat(
    [
      for layer, days in local.layers : {
        id              = layer
        prefix          = "${layer}/"
        noncurrent_days = days
        # Bronze files are rarely read again. Queries read the files of all layers except
        # bronze at any time.
        tiering_days = layer == "bronze" ? 30 : null
      }
    ],
    [{ id = local.releases, prefix = "${local.releases}/", noncurrent_days = 30 }],
  )
}

module "logs" {
  source = "./modules/bucket"

  name   = local.logs_name
  policy = data.aws_iam_policy_document.log_delivery.json
  rules  = [{ id = "logs", prefix = "", noncurrent_days = 7, expire_days = var.retention.logs_days }]
}

# Terraform refuses plans that destroy or replace the key or a bucket, because such a plan must also replace this guard.
# `prevent_destroy` accepts no variable, so the key and the buckets cannot have it in some environments only. Staging has
# the guard too, so that such plans are refused in staging first. README.md shows how to destroy an environment.
resource "terraform_data" "destroy_guard" {
  count = contains(["production", "staging"], var.environment) ? 1 : 0

  triggers_replace = [module.key.arn, module.lake.arn, module.logs.arn]

  lifecycle {
    prevent_destroy = true
  }
}

data "aws_iam_policy_document" "log_delivery" {
  statement {
    sid       = "LogDelivery"
    actions   = ["s3:PutObject"]
    resources = ["arn:aws:s3:::${local.logs_name}/${local.lake_name}/*"]

    principals {
      type        = "Service"
      identifiers = ["logging.s3.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["arn:aws:s3:::${local.lake_name}"]
    }
  }
}

module "storage_credential" {
  source = "./modules/storage_credential"

  name        = "${local.prefix}-unity-catalog"
  account_id  = var.account_id
  external_id = var.databricks_external_id
  bucket_arn  = module.lake.arn
  prefixes    = keys(local.layers)
  key_arn     = module.key.arn
}

module "github_deploy" {
  source = "./modules/github_deploy"

  name        = "${local.prefix}-deploy"
  repository  = var.github_repository
  environment = var.environment
  bucket_arn  = module.lake.arn
  releases    = local.releases
  readable    = keys(local.layers)
  key_arn     = module.key.arn
}

# Sends an alarm before a defect becomes expensive. Examples of defects are a loop that
# rewrites a table, and a table that is never vacuumed.
module "alarm" {
  source = "./modules/alarm"

  name       = local.prefix
  account_id = var.account_id
  bucket     = local.lake_name
  limit_gb   = var.alarm_gb
  emails     = var.alarm_emails
  key_alias  = module.key.alias
}
