# Builds the four images of docker/Dockerfile in parallel, with shared layers:
# docker buildx bake -f docker/docker-bake.hcl

# The base image if no registry can be reached. Default: the stage `pinned`.
variable "BASE" { default = "" }
variable "PREFIX" { default = "lakekit-" }
variable "TAG" { default = "latest" }
variable "VERSION" { default = "0.0.0+unknown" }
variable "REVISION" { default = "unknown" }
variable "SOURCE" { default = "" }
variable "SOURCE_DATE_EPOCH" { default = "0" }
# The build uses the shell's proxy, whose URL is not stored in any layer.
variable "HTTP_PROXY" { default = "" }
variable "HTTPS_PROXY" { default = "" }
variable "NO_PROXY" { default = "" }

group "default" {
  targets = ["dev", "prod", "api", "processor"]
}

target "image" {
  context    = "."
  dockerfile = "docker/Dockerfile"
  args = {
    BASE              = BASE == "" ? null : BASE
    VERSION           = VERSION
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
    HTTP_PROXY        = HTTP_PROXY
    HTTPS_PROXY       = HTTPS_PROXY
    NO_PROXY          = NO_PROXY
  }
  # If pip needs settings, LAKE_CI_PIP_CONF is the content of a pip.conf.
  secret = ["type=env,id=pip,env=LAKE_CI_PIP_CONF"]
  labels = {
    "org.opencontainers.image.version"  = VERSION
    "org.opencontainers.image.revision" = REVISION
    "org.opencontainers.image.source"   = SOURCE
    "org.opencontainers.image.licenses" = "Apache-2.0"
  }
}

target "dev" {
  inherits = ["image"]
  target   = "dev"
  tags     = ["${PREFIX}dev:${TAG}"]
}

target "prod" {
  inherits = ["image"]
  target   = "prod"
  tags     = ["${PREFIX}prod:${TAG}"]
}

target "api" {
  inherits = ["image"]
  target   = "api"
  tags     = ["${PREFIX}api:${TAG}"]
}

target "processor" {
  inherits = ["image"]
  target   = "processor"
  tags     = ["${PREFIX}processor:${TAG}"]
}
