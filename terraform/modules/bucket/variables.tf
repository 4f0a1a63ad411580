variable "name" {
  description = "The bucket's name, which must be unique in all of AWS."
  type        = string
}

# `key` and `log` are objects, not ARNs: a plan must know whether they are null, but
# does not know the ARN of a resource that does not exist yet.
variable "key" {
  description = "The KMS key that encrypts the bucket's objects. null means S3's own keys, the only keys that log delivery supports."
  type        = object({ arn = string })
  default     = null
}

variable "log" {
  description = "The bucket to which the access log is written; null for a bucket of logs."
  type        = object({ bucket = string })
  default     = null
}

variable "policy" {
  description = "Further statements of the bucket's policy, besides TLS and encryption, as JSON."
  type        = string
  default     = null
}

variable "rules" {
  description = <<-EOT
    For each prefix, the number of days after which overwritten versions expire (`noncurrent_days`), current objects
    move to Intelligent-Tiering (`tiering_days`), and current objects expire (`expire_days`).
  EOT
  type = list(object({
    id              = string
    prefix          = string
    noncurrent_days = number
    tiering_days    = optional(number)
    expire_days     = optional(number)
  }))

  validation {
    condition     = length(var.rules) > 0
    error_message = "rules must not be empty: without a lifecycle rule, a versioned bucket grows forever."
  }
}
