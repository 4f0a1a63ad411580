variable "name" {
  description = "The purpose of the key; also its alias."
  type        = string
}

variable "account_id" {
  description = "The account whose IAM policies determine who may use the key."
  type        = string
}

variable "region" {
  description = "The region whose S3 uses the key."
  type        = string
}
