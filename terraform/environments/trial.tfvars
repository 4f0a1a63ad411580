environment = "trial"
account_id  = "444455556666"

retention = {
  bronze_days     = 7
  silver_days     = 7
  gold_days       = 7
  quarantine_days = 7
  logs_days       = 30
}

databricks_external_id = "00000000-0000-4000-8000-000000000000"
github_repository      = "example/lake"
alarm_gb               = 50
alarm_emails           = ["lake-trial@example.com"]
