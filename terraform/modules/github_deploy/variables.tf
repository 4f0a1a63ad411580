variable "name" {
  description = "The role's name."
  type        = string
}

variable "repository" {
  description = "The repository whose workflow may take the role, `owner/name`."
  type        = string
}

variable "environment" {
  description = "The GitHub environment, with its own protection rules, that a job has to run in to take the role."
  type        = string
}

variable "bucket_arn" {
  description = "The lake's bucket."
  type        = string
}

variable "releases" {
  description = "The prefix that releases are written to."
  type        = string
}

variable "readable" {
  description = "The prefixes that are read after a deployment, to see whether it works."
  type        = set(string)
}

variable "key_arn" {
  description = "The key of the bucket's objects."
  type        = string
}
