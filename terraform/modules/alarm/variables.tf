variable "name" {
  description = "The name of the topic, and of its alarms the first part."
  type        = string
}

variable "account_id" {
  description = "The account whose alarms may write into the topic."
  type        = string
}

variable "bucket" {
  description = "The bucket whose size is watched."
  type        = string
}

variable "limit_gb" {
  description = "The size that is too large, in gigabytes."
  type        = number
}

variable "emails" {
  description = "E-mail addresses that get the alarms; each must be confirmed once."
  type        = set(string)
}

variable "key_alias" {
  description = "The alias of the key that encrypts the topic."
  type        = string
}
