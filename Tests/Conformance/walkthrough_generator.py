"""The walk-through with the client that openapi-generator made."""

import json
import os

import agent_client
from agent_client import ApplyPlanRequest, ApplyRequest, PlanDecision, PlanRequest, StopVmRequest


def api(kind, role):
    configuration = agent_client.Configuration(host=os.environ["base"], access_token=os.environ[f"{role}_token"])
    return kind(agent_client.ApiClient(configuration))


def refusal(call):
    """The code of the problem that a call ends with."""
    try:
        call()
    except agent_client.ApiException as error:
        return json.loads(error.body)["code"]
    raise AssertionError("it was not refused")


plans, approvals = api(agent_client.PlansApi, "operator"), api(agent_client.PlansApi, "approver")
operations = api(agent_client.OperationsApi, "operator")

names = [environment.name for environment in api(agent_client.ReadsApi, "operator").list_environments().environments]
assert names == ["home", "cloud"], names

plan = plans.plan_action(PlanRequest(StopVmRequest(environment="cloud", action="stop_vm", target="vm/101")))
assert plan.state == "awaiting_approval" and plan.preview.calls, plan
apply = ApplyRequest(ApplyPlanRequest(plan_id=plan.plan_id))
assert refusal(lambda: plans.apply_plan(apply)) == "approval_required"

decision = PlanDecision(decision="approve", plan_hash=plan.plan_hash)
assert refusal(lambda: plans.decide_plan(plan.plan_id, decision)) == "forbidden"
assert approvals.decide_plan(plan.plan_id, decision).state == "approved"

applied = plans.apply_plan(apply, prefer="wait=20")
operation = operations.get_operation(applied.operation.operation_id, wait=20)
assert operation.state == "succeeded", operation
print(f"   {plan.plan_id}: {operation.message}")
