variable "environment" {
  description = "The environment of the lake; each environment has its own AWS account."
  type        = string

  validation {
    condition     = contains(["production", "staging", "dev", "trial"], var.environment)
    error_message = "environment must be production, staging, dev or trial."
  }
}

variable "account_id" {
  description = "The AWS account of the environment. With credentials of another account, Terraform does not plan or change anything."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must have twelve digits."
  }
}

variable "region" {
  description = "The AWS region of all resources except IAM roles, which have no region."
  type        = string
  default     = "eu-central-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a name such as eu-central-1."
  }
}

variable "name" {
  description = "The name of the lake: the first part of all names, and the value of the tag `project`."
  type        = string
  default     = "lake"

  validation {
    # The name of a bucket also contains the environment, `logs`, the account and
    # dashes. With this limit, the name has at most 63 characters, as S3 requires.
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name))
    error_message = "name must have 3 to 30 lower-case letters, digits and dashes, and must start with a letter."
  }
}

variable "retention" {
  description = <<-EOT
    For how many days overwritten and deleted versions of objects are retained in each layer, and access logs in
    the bucket of logs. Current objects never expire, because only VACUUM knows which of them a Delta table needs.
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
    error_message = "retention must be whole days, at least 7, so that a mistake can be noticed and undone within a week."
  }
}

variable "databricks_external_id" {
  description = "The external id that Databricks shows for the storage credential: the id of the Databricks account."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.databricks_external_id))
    error_message = "databricks_external_id must be a UUID in lower case."
  }
}

variable "github_repository" {
  description = "The repository whose workflow deploys to the environment, as `owner/name`."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be `owner/name` without a wildcard, because it determines who may deploy."
  }
}

variable "alarm_gb" {
  description = "The size of the lake, including old versions, above which an alarm is sent; in gigabytes."
  type        = number

  validation {
    condition     = var.alarm_gb >= 1
    error_message = "alarm_gb must be at least 1."
  }
}

variable "alarm_emails" {
  description = "The e-mail addresses that get an alarm if the lake is larger than `alarm_gb`."
  type        = set(string)

  validation {
    condition     = length(var.alarm_emails) > 0 && alltrue([for email in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "alarm_emails must contain at least one e-mail address, and only e-mail addresses."
  }
}

variable "tags" {
  description = "Tags of all resources, besides `environment`, `managed-by` and `project`."
  type        = map(string)
  default     = {}
}
