output "role_arn" {
  description = "The role's ARN, for `databricks storage-credentials create`."
  value       = aws_iam_role.unity_catalog.arn
}
