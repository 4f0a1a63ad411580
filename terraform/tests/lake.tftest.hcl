# Tests the names and permissions of the lake's resources. `terraform test` needs no
# account.
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mocked" }
  }

  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::111122223333:oidc-provider/mocked" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/mocked" }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:mocked" }
  }
}

variables {
  environment            = "dev"
  account_id             = "111122223333"
  retention              = { bronze_days = 90, silver_days = 30, gold_days = 20, quarantine_days = 30, logs_days = 365 }
  databricks_external_id = "00000000-0000-4000-8000-000000000000"
  github_repository      = "example/lake"
  alarm_gb               = 2000
  alarm_emails           = ["lake@example.com"]
}

run "names_tell_the_environment_and_the_account" {
  assert {
    condition     = output.lake_uri == "s3://lake-dev-111122223333"
    error_message = "the lake is ${output.lake_uri}"
  }

  assert {
    condition     = output.layer_uris["gold"] == "s3://lake-dev-111122223333/gold"
    error_message = "gold is ${output.layer_uris["gold"]}"
  }

  assert {
    condition     = output.releases_uri == "s3://lake-dev-111122223333/releases"
    error_message = "releases are in ${output.releases_uri}"
  }
}

run "production_cannot_be_destroyed" {
  command = plan

  variables {
    environment = "production"
  }

  assert {
    condition     = length(terraform_data.destroy_guard) == 1
    error_message = "nothing prevents that the buckets and the key are destroyed"
  }
}

run "dev_can_be_destroyed" {
  command = plan

  assert {
    condition     = length(terraform_data.destroy_guard) == 0
    error_message = "dev has a guard, so the rehearsal and the tests cannot destroy it"
  }
}

run "an_environment_that_nobody_knows_is_refused" {
  command = plan

  variables {
    environment = "qa"
  }

  expect_failures = [var.environment]
}

run "an_account_is_twelve_digits" {
  command = plan

  variables {
    account_id = "1111-2222-3333"
  }

  expect_failures = [var.account_id]
}

run "old_versions_are_kept_for_a_week_at_least" {
  command = plan

  variables {
    retention = { bronze_days = 90, silver_days = 30, gold_days = 6, quarantine_days = 30, logs_days = 365 }
  }

  expect_failures = [var.retention]
}

run "no_wildcard_says_who_may_deploy" {
  command = plan

  variables {
    github_repository = "example/*"
  }

  expect_failures = [var.github_repository]
}

run "an_external_id_is_one_of_databricks" {
  command = plan

  variables {
    databricks_external_id = "anything"
  }

  expect_failures = [var.databricks_external_id]
}

run "alarm_is_sent" {
  command = plan

  variables {
    alarm_emails = []
  }

  expect_failures = [var.alarm_emails]
}
