output "topic_arn" {
  description = "The ARN of the topic to which alarms are sent."
  value       = aws_sns_topic.this.arn
}
