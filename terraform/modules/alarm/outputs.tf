output "topic_arn" {
  description = "Where the alarms are told."
  value       = aws_sns_topic.this.arn
}
