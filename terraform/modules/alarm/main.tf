resource "aws_sns_topic" "this" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.key_alias
}

data "aws_iam_policy_document" "topic" {
  statement {
    sid       = "Alarms"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.this.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "this" {
  arn    = aws_sns_topic.this.arn
  policy = data.aws_iam_policy_document.topic.json
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.emails

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.value
}

# S3 measures the size once a day, free of charge. If a day has no measurement, the
# alarm keeps its state.
resource "aws_cloudwatch_metric_alarm" "size" {
  alarm_name          = "${var.name}-size"
  alarm_description   = "${var.bucket} is larger than ${var.limit_gb} GB. Check whether a table is not vacuumed, or is rewritten in a loop."
  namespace           = "AWS/S3"
  metric_name         = "BucketSizeBytes"
  dimensions          = { BucketName = var.bucket, StorageType = "StandardStorage" }
  statistic           = "Average"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.limit_gb * 1000 * 1000 * 1000
  period              = 86400
  evaluation_periods  = 1
  treat_missing_data  = "ignore"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}
