output "topic_arn" {
  description = "ARN of the topic that alarms are sent to."
  value       = aws_sns_topic.this.arn
}
