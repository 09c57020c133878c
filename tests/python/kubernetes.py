"""Validates folders of Kubernetes manifests against the schemas of Kubernetes, and what they promise.

The first one holds the config.
"""

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


def kustomization_can_be_built(folder, kustomization, manifests):
    assert kustomization["namespace"], folder
    for name in kustomization["resources"]:
        resource = (folder / name).resolve()
        assert resource.exists(), f"{folder}: {name}"
        # Kustomize takes this for a cycle.
        assert resource not in folder.resolve().parents, f"{folder}: {name} holds it"
    # It renames the images of the manifests it adds; those of what it builds on are renamed already.
    renamed = {image["name"] for image in kustomization["images"]}
    used = {container["image"] for manifest in manifests for container in containers(manifest)}
    assert used <= renamed, f"{folder}: {used - renamed}"


def containers(manifest):
    return manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])


folders = [pathlib.Path(folder) for folder in sys.argv[1:]]
config = (folders[0] / "peak-braze.toml").read_text()
drain_secs = int(re.search(r"^drain_secs = (\d+)", config, re.MULTILINE)[1])
for folder in folders:
    found = [(path, yaml.safe_load(path.read_text())) for path in sorted(folder.rglob("*.yaml"))]
    manifests = [(path, manifest) for path, manifest in found if manifest["kind"] != "Kustomization"]
    for path, kustomization in found:
        if kustomization["kind"] == "Kustomization":
            kustomization_can_be_built(path.parent, kustomization, [manifest for _, manifest in manifests])
    for path, manifest in manifests:
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)
        if "template" in manifest.get("spec", {}):
            containers_are_restricted(manifest["spec"]["template"]["spec"])
            time_is_enough(manifest["spec"]["template"]["spec"], drain_secs)
        print(manifest["kind"], path.relative_to(folder), *VERSIONS)
