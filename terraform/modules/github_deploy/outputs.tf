output "role_arn" {
  description = "The role's ARN, for the workflow's `role-to-assume`."
  value       = aws_iam_role.deploy.arn
}
