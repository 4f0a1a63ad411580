variable "name" {
  description = "The role's name."
  type        = string
}

variable "repository" {
  description = "The repository whose workflow may assume the role, as `owner/name`."
  type        = string
}

variable "environment" {
  description = "The GitHub environment. Only jobs in this environment, which has its own protection rules, may assume the role."
  type        = string
}

variable "bucket_arn" {
  description = "The lake's bucket."
  type        = string
}

variable "releases" {
  description = "The prefix to which releases are written."
  type        = string
}

variable "readable" {
  description = "The prefixes that the deploy may read to verify the deployment."
  type        = set(string)
}

variable "key_arn" {
  description = "The key that encrypts the bucket's objects."
  type        = string
}
