"""Peak's own SDK against the address given: what it asks, and what it reads out of the answers."""

import json
import sys

import peak.session
import peak.telemetry
from peak.resources.tenants import Tenant
from peak.resources.workflows import Workflow

base, key, workflow, execution = sys.argv[1:]
subdomains = []


def local(stage, subdomain="service"):
    subdomains.append(subdomain)
    return base


peak.session.get_base_domain = local
peak.telemetry.get_base_domain = lambda stage, subdomain="service": base

session = peak.session.Session(auth_token=key)
credentials = Tenant(session).get_credentials("data-warehouse")
named = Tenant(session).get_credentials("data-warehouse", warehouse_name="second one")
details = Workflow(session).get_execution_details(int(workflow), execution)
print(
    json.dumps(
        {
            "is_spoke": session.is_spoke_tenant,
            "subdomains": sorted(set(subdomains)),
            "credentials": credentials,
            "named": named,
            "steps": {step["name"]: step["status"] for step in details["steps"]},
        }
    )
)
