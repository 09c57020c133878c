"""Validates a folder of Kubernetes manifests against the schemas of Kubernetes, and what they promise."""

import pathlib
import re
import sys

import kubernetes_validate
import yaml

# The oldest that knows every field, and the newest there is a schema of.
VERSIONS = ["1.30.0", kubernetes_validate.latest_version()]


def containers_are_restricted(spec):
    pod = spec["securityContext"]
    assert pod["runAsNonRoot"] and pod["seccompProfile"]["type"] == "RuntimeDefault"
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] and context["allowPrivilegeEscalation"] is False
        assert context["capabilities"]["drop"] == ["ALL"]
        assert container["resources"]["limits"]["memory"]
        assert all(container[probe] for probe in ("startupProbe", "livenessProbe", "readinessProbe"))
        assert not any("value" in variable for variable in container.get("env", []))


def time_is_enough(spec, drain_secs):
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > pause + drain_secs


folder = pathlib.Path(sys.argv[1])
drain_secs = int(re.search(r"^drain_secs = (\d+)", (folder / "peak-braze.toml").read_text(), re.MULTILINE)[1])
for path in sorted(folder.rglob("*.yaml")):
    manifest = yaml.safe_load(path.read_text())
    if manifest["kind"] == "Kustomization":
        missing = [name for name in manifest["resources"] if not (path.parent / name).exists()]
        assert not missing, f"{path}: {missing}"
        continue
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)
    if "template" in manifest.get("spec", {}):
        containers_are_restricted(manifest["spec"]["template"]["spec"])
        time_is_enough(manifest["spec"]["template"]["spec"], drain_secs)
    print(manifest["kind"], path.relative_to(folder), *VERSIONS)
