variable "name" {
  description = "The bucket's name, unique in all of AWS."
  type        = string
}

# Objects, for their absence is known while a plan is made, when an ARN of what is yet to be made is not.
variable "key" {
  description = "The KMS key of its objects; null for S3's own keys, the only ones that log delivery can write with."
  type        = object({ arn = string })
  default     = null
}

variable "log" {
  description = "The bucket its access log goes to; null for a bucket of logs."
  type        = object({ bucket = string })
  default     = null
}

variable "policy" {
  description = "What its policy says beside TLS and encryption, as JSON."
  type        = string
  default     = null
}

variable "rules" {
  description = <<-EOT
    By prefix: after how many days overwritten versions go, current objects move to the tier of their use, and
    current objects go.
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
    error_message = "A versioned bucket without a rule grows for ever."
  }
}
