variable "name" {
  description = "The role's name."
  type        = string
}

variable "account_id" {
  description = "The account the role is in."
  type        = string
}

variable "databricks_role_arn" {
  description = "Databricks' own role, which assumes this one for Unity Catalog; another in its government cloud."
  type        = string
  default     = "arn:aws:iam::414351767826:role/unity-catalog-prod-UCMasterRole-14S5ZJVKOTYD"
}

variable "external_id" {
  description = "What Databricks has to name when it assumes the role, so that no other customer of its can."
  type        = string
}

variable "bucket_arn" {
  description = "The bucket whose objects it reads and writes."
  type        = string
}

variable "prefixes" {
  description = "The prefixes of the bucket that it reads and writes."
  type        = set(string)
}

variable "key_arn" {
  description = "The key of the bucket's objects."
  type        = string
}
