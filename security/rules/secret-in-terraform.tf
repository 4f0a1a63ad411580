provider "aws" {
  region = "eu-central-1"
  # ruleid: secret-in-terraform
  secret_key = "not a real one"
}

resource "aws_db_instance" "metastore" {
  # ruleid: secret-in-terraform
  password = "correct horse"
}

resource "aws_db_instance" "other" {
  # ok: secret-in-terraform
  password = var.metastore_password
  # ok: secret-in-terraform
  password_rotation = "monthly"
}
