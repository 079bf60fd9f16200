"""The walk-through with the client that openapi-python-client made."""

import os
import time

from proxmox_agent_client import AuthenticatedClient
from proxmox_agent_client.api.operations import get_operation
from proxmox_agent_client.api.plans import apply_plan, decide_plan, plan_action
from proxmox_agent_client.api.reads import list_environments, list_guests
from proxmox_agent_client.models import (
    ApplyPlanRequest,
    ApplyResult,
    OperationState,
    Plan,
    PlanDecision,
    PlanDecisionDecision,
    PlanState,
    Problem,
    StopVmRequest,
)


def client(role):
    return AuthenticatedClient(base_url=os.environ["base"], token=os.environ[f"{role}_token"])


operator, approver = client("operator"), client("approver")

environments = list_environments.sync(client=operator).environments
assert [environment.name for environment in environments] == ["home", "cloud"], environments
guests = list_guests.sync(client=operator, environment="home", limit=3)
assert guests.result.status.value == "ok" and len(guests.result.data) == 3, guests

plan = plan_action.sync(
    client=operator,
    body=StopVmRequest(environment="home", action="stop_vm", target="vm/102", reason="walk-through"),
)
assert isinstance(plan, Plan) and plan.state == PlanState.AWAITING_APPROVAL, plan
assert plan.preview.calls[0].path == "/nodes/pve/qemu/102/status/stop", plan.preview.calls

refused = apply_plan.sync(client=operator, body=ApplyPlanRequest(plan_id=plan.plan_id))
assert isinstance(refused, Problem) and refused.code.value == "approval_required", refused
own = decide_plan.sync(
    plan.plan_id,
    client=operator,
    body=PlanDecision(decision=PlanDecisionDecision.APPROVE, plan_hash=plan.plan_hash),
)
assert isinstance(own, Problem) and own.code.value == "forbidden", own

approved = decide_plan.sync(
    plan.plan_id,
    client=approver,
    body=PlanDecision(decision=PlanDecisionDecision.APPROVE, plan_hash=plan.plan_hash, reason="looked at it"),
)
assert approved.state == PlanState.APPROVED and approved.approvals[0].approver == "approver", approved

applied = apply_plan.sync(client=operator, body=ApplyPlanRequest(plan_id=plan.plan_id))
assert isinstance(applied, ApplyResult), applied
operation = applied.operation
deadline = time.monotonic() + 30
while operation.state in (OperationState.QUEUED, OperationState.RUNNING) and time.monotonic() < deadline:
    operation = get_operation.sync(operation.operation_id, client=operator, wait=20)
assert operation.state == OperationState.SUCCEEDED, operation
print(f"   {plan.plan_id}: {operation.message}")
