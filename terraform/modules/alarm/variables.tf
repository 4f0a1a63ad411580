variable "name" {
  description = "The first part of the names of the topic and the alarm."
  type        = string
}

variable "account_id" {
  description = "The account whose alarms may publish to the topic."
  type        = string
}

variable "bucket" {
  description = "The bucket whose size is monitored."
  type        = string
}

variable "limit_gb" {
  description = "The size in gigabytes above which an alarm is sent."
  type        = number
}

variable "emails" {
  description = "The e-mail addresses that get the alarms; the owner of each address must confirm it once."
  type        = set(string)
}

variable "key_alias" {
  description = "The alias of the key that encrypts the topic."
  type        = string
}
