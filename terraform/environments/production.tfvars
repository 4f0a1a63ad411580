environment = "production"
account_id  = "111122223333"

retention = {
  bronze_days     = 90
  silver_days     = 30
  gold_days       = 30
  quarantine_days = 30
  logs_days       = 365
}

databricks_external_id = "00000000-0000-4000-8000-000000000000"
github_repository      = "example/lake"
alarm_gb               = 2000
alarm_emails           = ["lake-production@example.com"]
