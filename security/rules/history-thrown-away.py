def clean(table, spark):
    # ruleid: history-thrown-away
    table.vacuum(0)
    # ruleid: history-thrown-away
    table.vacuum(retention_hours=168, enforce_retention_duration=False)
    # ruleid: history-thrown-away
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    # ok: history-thrown-away
    table.vacuum(168)
    # ok: history-thrown-away
    table.vacuum(retention_hours=720)
