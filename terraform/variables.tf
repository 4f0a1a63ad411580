variable "environment" {
  description = "Which of the lake's environments this is; each has an AWS account of its own."
  type        = string

  validation {
    condition     = contains(["production", "staging", "dev", "trial"], var.environment)
    error_message = "environment is one of production, staging, dev and trial."
  }
}

variable "account_id" {
  description = "The AWS account of the environment; with credentials of another one nothing is planned or changed."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id has twelve digits."
  }
}

variable "region" {
  description = "The AWS region of everything but the IAM roles, which have none."
  type        = string
  default     = "eu-central-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is a name such as eu-central-1."
  }
}

variable "name" {
  description = "What the lake is called: the first part of every name, and the tag `project`."
  type        = string
  default     = "lake"

  validation {
    # With the environment, `logs`, the account and their dashes a bucket's name stays within S3's 63 characters.
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name))
    error_message = "name has 3 to 30 lower-case letters, digits and dashes, and starts with a letter."
  }
}

variable "retention" {
  description = <<-EOT
    For how many days each layer keeps the versions that were overwritten or deleted, and the logs their lines.
    Current objects are never expired: which of them a Delta table still needs is for VACUUM to say.
  EOT
  type = object({
    bronze_days     = number
    silver_days     = number
    gold_days       = number
    quarantine_days = number
    logs_days       = number
  })

  validation {
    condition     = alltrue([for days in values(var.retention) : days >= 7 && days == floor(days)])
    error_message = "retention is given in whole days, 7 at least: a week to notice a mistake and take it back."
  }
}

variable "databricks_external_id" {
  description = "The external id that Databricks shows for the storage credential: its account's id."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.databricks_external_id))
    error_message = "databricks_external_id is a UUID in lower case."
  }
}

variable "github_repository" {
  description = "The repository whose workflow deploys to the environment, `owner/name`."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository is `owner/name`, without a wildcard: it decides who may deploy."
  }
}

variable "alarm_gb" {
  description = "Size of the lake, with old versions, above which an alarm is sent; in gigabytes."
  type        = number

  validation {
    condition     = var.alarm_gb >= 1
    error_message = "alarm_gb is one gigabyte at least."
  }
}

variable "alarm_emails" {
  description = "E-mail addresses that get the alarm when the lake is larger than `alarm_gb`."
  type        = set(string)

  validation {
    condition     = length(var.alarm_emails) > 0 && alltrue([for email in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "alarm_emails holds one e-mail address at least."
  }
}

variable "tags" {
  description = "Tags of everything, beside `environment`, `managed-by` and `project`."
  type        = map(string)
  default     = {}
}
