"""Checks the Terraform code: format, tests, plans and policy."""
