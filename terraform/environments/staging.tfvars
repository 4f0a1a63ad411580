environment = "staging"
account_id  = "222233334444"

retention = {
  bronze_days     = 30
  silver_days     = 14
  gold_days       = 14
  quarantine_days = 14
  logs_days       = 90
}

databricks_external_id = "00000000-0000-4000-8000-000000000000"
github_repository      = "example/lake"
alarm_gb               = 500
alarm_emails           = ["lake-staging@example.com"]
