"""Has Peak's own SDK ask the address given to execute a workflow, with the body on standard input."""

import json
import sys

import peak.session
import peak.telemetry
from peak.resources.workflows import Workflow

base, key, workflow = sys.argv[1:]
peak.session.get_base_domain = lambda stage, subdomain="service": base
peak.telemetry.get_base_domain = lambda stage, subdomain="service": base
print(json.dumps(Workflow(peak.session.Session(auth_token=key)).execute_workflow(int(workflow), json.load(sys.stdin))))
