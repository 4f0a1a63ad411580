"""Finds the buckets and keys that a plan could destroy in production.

`prevent_destroy` does not accept a variable, so a bucket cannot have `prevent_destroy`
in some environments only. Instead, production has a destroy guard: a `terraform_data`
resource with `prevent_destroy`, whose `triggers_replace` contains the ARNs of buckets
and keys. If a plan destroys or replaces a bucket, the plan must also destroy or replace
the destroy guard. The destroy guard's `prevent_destroy` makes this plan fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lake_ci.checks.terraform import hcl
from lake_ci.checks.terraform.code import FOLDER
from lake_ci.checks.terraform.resources import resources

PROTECTED = ("aws_kms_key", "aws_s3_bucket")
# When Terraform plans to replace a resource, the new values of these attributes are not
# known. An unknown value in `triggers_replace` makes Terraform replace the destroy
# guard, too.
IDENTIFIERS = ("arn", "id")
PREVENT_DESTROY = re.compile(r"\s*prevent_destroy\s*=\s*true\b")
Module = Mapping[str, Any]


def unguarded(root: Path, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield the address of each planned bucket and key without a destroy guard."""
    preventing = {hcl.INDEX.sub("", each) for each in guards(root, plan)}
    protected = set(preventing)
    configuration = plan.get("configuration", {}).get("root_module", {})
    for prefix, module in _modules(configuration):
        for row in module.get("resources", ()):
            if (
                row["type"] == "terraform_data"
                and prefix + row["address"] in preventing
            ):
                triggers = row.get("expressions", {}).get("triggers_replace", {})
                for reference in triggers.get("references", ()):
                    protected.update(_referenced(module, reference, prefix))
    for address, kind in _managed(plan):
        if kind in PROTECTED and hcl.INDEX.sub("", address) not in protected:
            yield address


def guards(root: Path, plan: Mapping[str, Any]) -> list[str]:
    """Return the addresses of the planned resources with `prevent_destroy`."""
    return [address for address, _ in _managed(plan) if _prevents(root, address)]


def _prevents(root: Path, address: str) -> bool:
    block = hcl.locate(root, FOLDER, address)
    return block is not None and any(map(PREVENT_DESTROY.match, block.text))


def _managed(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the address and the type of each planned resource, without data sources."""
    for row in resources(plan):
        if "data" not in hcl.INDEX.sub("", row.address).split("."):
            yield row.address, row.type


def _modules(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """Yield a module and all its inner modules, each with its prefix of addresses."""
    yield prefix, module
    for name, call in module.get("module_calls", {}).items():
        yield from _modules(call.get("module", {}), f"{prefix}module.{name}.")


def _referenced(module: Module, reference: str, prefix: str) -> Iterator[str]:
    """Yield the address of each resource to whose ARN or id a reference refers."""
    parts = hcl.INDEX.sub("", reference).split(".")
    if len(parts) != 3:
        return
    if parts[0] == "module":
        inner = module["module_calls"][parts[1]]["module"]
        output = inner["outputs"][parts[2]]["expression"]
        for each in output.get("references", ()):
            yield from _referenced(inner, each, f"{prefix}module.{parts[1]}.")
    elif parts[2] in IDENTIFIERS:
        yield f"{prefix}{parts[0]}.{parts[1]}"
