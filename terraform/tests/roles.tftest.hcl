# Tests who may assume the two roles.
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }

  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" }
  }
}

run "unity_catalog_names_its_external_id_and_so_does_the_role_itself" {
  module {
    source = "./modules/storage_credential"
  }

  variables {
    name        = "lake-unity-catalog"
    account_id  = "111122223333"
    external_id = "00000000-0000-4000-8000-000000000000"
    bucket_arn  = "arn:aws:s3:::lake"
    prefixes    = ["bronze", "gold"]
    key_arn     = "arn:aws:kms:eu-central-1:111122223333:key/example"
  }

  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.trust.statement :
      contains([for condition in statement.condition : join(",", condition.values) if condition.variable == "sts:ExternalId"], var.external_id)
    ])
    error_message = "the role can be assumed without the external id"
  }

  assert {
    condition     = data.aws_iam_policy_document.access.statement[0].resources == toset(["arn:aws:s3:::lake/bronze/*", "arn:aws:s3:::lake/gold/*"])
    error_message = "the role has access to objects outside the layers"
  }
}

run "github_takes_the_role_from_one_repository_and_one_environment" {
  module {
    source = "./modules/github_deploy"
  }

  variables {
    name        = "lake-deploy"
    repository  = "example/lake"
    environment = "production"
    bucket_arn  = "arn:aws:s3:::lake"
    releases    = "releases"
    readable    = ["gold"]
    key_arn     = "arn:aws:kms:eu-central-1:111122223333:key/example"
  }

  assert {
    condition = contains(
      [for condition in data.aws_iam_policy_document.trust.statement[0].condition : join(",", condition.values)],
      "repo:example/lake:environment:production",
    )
    error_message = "another repository or environment could assume the role"
  }
}
