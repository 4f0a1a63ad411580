variable "name" {
  description = "What the key is for; its alias."
  type        = string
}

variable "account_id" {
  description = "The account whose IAM policies say who may use the key."
  type        = string
}

variable "region" {
  description = "The region whose S3 uses the key."
  type        = string
}
