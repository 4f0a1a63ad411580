output "lake_uri" {
  description = "The lake's `s3://` prefix, for the deploy and the Kubernetes overlays."
  value       = "s3://${module.lake.name}"
}

output "layer_uris" {
  description = "The `s3://` prefix of each layer, for Unity Catalog's external locations."
  value       = { for layer in keys(local.layers) : layer => "s3://${module.lake.name}/${layer}" }
}

output "releases_uri" {
  description = "The `s3://` prefix to which the deploy uploads the wheels of releases."
  value       = "s3://${module.lake.name}/${local.releases}"
}

output "key_arn" {
  description = "The key that encrypts the lake."
  value       = module.key.arn
}

output "storage_credential_role_arn" {
  description = "The role of Unity Catalog's storage credential."
  value       = module.storage_credential.role_arn
}

output "deploy_role_arn" {
  description = "The role that the GitHub job `deploy` assumes."
  value       = module.github_deploy.role_arn
}

output "region" {
  description = "The region of the lake."
  value       = var.region
}

output "alarm_topic_arn" {
  description = "The topic of the lake's alarms, for further subscribers."
  value       = module.alarm.topic_arn
}
