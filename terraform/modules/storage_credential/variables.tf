variable "name" {
  description = "The role's name."
  type        = string
}

variable "account_id" {
  description = "The account of the role."
  type        = string
}

variable "databricks_role_arn" {
  description = "Databricks' own role, which assumes this role for Unity Catalog. Databricks' government cloud has another role."
  type        = string
  default     = "arn:aws:iam::414351767826:role/unity-catalog-prod-UCMasterRole-14S5ZJVKOTYD"
}

variable "external_id" {
  description = "The id that Databricks must send when it assumes the role, so that no other customer of Databricks can use the role."
  type        = string
}

variable "bucket_arn" {
  description = "The bucket whose objects the role may read and write."
  type        = string
}

variable "prefixes" {
  description = "The prefixes of the bucket that the role may read and write."
  type        = set(string)
}

variable "key_arn" {
  description = "The key that encrypts the bucket's objects."
  type        = string
}
