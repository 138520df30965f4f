"""Webhooks: with a workflow's secret, start it, wait for its result, and answer its interactions."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import hmac
import json
from enum import Enum
from typing import Any
from urllib.parse import parse_qs

from fastapi import Depends, FastAPI, Request, Response

from airflow_provider import _clock
from airflow_provider.emulator.json_text import JsonResponse
from airflow_provider.emulator.tracecat import ids
from airflow_provider.emulator.tracecat.access import RUNNER
from airflow_provider.emulator.tracecat.errors import ApiError, refusal, unexpected
from airflow_provider.emulator.tracecat.execution import Execution
from airflow_provider.emulator.tracecat.execution_routes import started
from airflow_provider.emulator.tracecat.execution_views import ExecutionViews
from airflow_provider.emulator.tracecat.route_parts import Json
from airflow_provider.emulator.tracecat.scenario import Workflow
from airflow_provider.emulator.tracecat.stored import unwrapped
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.emulator.tracecat.timeline import Step

WEBHOOK = "/webhooks/{workflow_id}/{secret}"


class Category(str, Enum):
    """The source of an answer."""

    SLACK = "slack"


def add_webhook_routes(application: FastAPI, tracecat: Tracecat) -> None:
    """Add the routes to ``application``."""
    views = ExecutionViews(tracecat)

    async def admit(request: Request) -> Workflow:
        with tracecat.lock:
            return _admitted(tracecat, request)

    admits = Depends(admit)

    async def trigger(request: Request, workflow: Workflow = admits, echo: bool = False, empty_echo: bool = False) -> Response:
        inputs = await _inputs(request)
        answer = started(_start(tracecat, workflow, inputs))
        if echo and empty_echo:
            return Response(status_code=200)
        return JsonResponse(answer | {"payload": inputs} if echo else answer)

    async def trigger_draft(request: Request, workflow: Workflow = admits) -> Json:
        return started(_start(tracecat, workflow, await _inputs(request), draft=True))

    async def trigger_and_wait(request: Request, workflow: Workflow = admits, unwrap: bool = False) -> Response:
        execution = _start(tracecat, workflow, await _inputs(request))
        while not execution.state.over:
            # A clock that a test controls can move in the meantime.
            await _clock.asleep(0.01)
        with tracecat.lock:
            state = execution.state
            if state.status == "TERMINATED":
                ended = {"status": "terminated", "message": "Workflow execution terminated by user"}
                return JsonResponse(ended if unwrap else {"kind": "value", "value": ended})
            if state.status != "COMPLETED":
                raise unexpected()
            envelope = views.result(execution, state)
            if envelope["type"] == "inline":
                value = unwrapped(envelope)
                return JsonResponse(value if unwrap else {"kind": "value", "value": value})
            download = tracecat.blobs.download(envelope["ref"])
            del download["file_name"]
            download["kind"] = "download_file"
            return JsonResponse({"detail": download}, 413) if unwrap else JsonResponse(download)

    async def check_category(category: Category) -> None:
        """Validate the category a second time: as the vendor's, the answer reports an invalid one twice."""

    checked = Depends(check_category)

    async def interact(request: Request, category: Category, workflow: Workflow = admits, _: None = checked) -> Json:
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        if "payload" not in form:
            raise refusal(400, "Missing payload field in Slack interaction payload")
        with tracecat.lock:
            _answer(tracecat, workflow, form["payload"][0])
        return {"message": "Interaction processed successfully"}

    application.add_api_route(WEBHOOK, trigger, methods=["POST"], response_model=None)
    application.add_api_route(WEBHOOK, trigger, methods=["GET"], response_model=None)
    application.add_api_route(WEBHOOK + "/wait", trigger_and_wait, methods=["POST"], response_model=None)
    application.add_api_route(WEBHOOK + "/draft", trigger_draft, methods=["POST"], response_model=None)
    application.add_api_route(WEBHOOK + "/interactions/{category}", interact, methods=["POST"], response_model=None)


def _workflow_of(tracecat: Tracecat, request: Request) -> Workflow:
    """Return the workflow of the path.

    :raises ApiError: 401, the secret is wrong, or the key, if the webhook has one.
    """
    unauthorized = refusal(401, "Unauthorized webhook request")
    try:
        number = str(ids.workflow_uuid(request.path_params["workflow_id"]))
    except ValueError:
        raise unauthorized from None
    workflow = next((candidate for candidate in tracecat.workflows if candidate.id == number), None)
    secret = request.path_params["secret"]
    if workflow is None or not hmac.compare_digest(secret.encode(), (workflow.webhook_secret or "").encode()):
        raise unauthorized
    key = tracecat.webhook_keys.get(number)
    if key is not None and (key.revoked_at is not None or request.headers.get("x-tracecat-api-key") != key.key):
        raise unauthorized
    return workflow


def _admitted(tracecat: Tracecat, request: Request) -> Workflow:
    """Return the workflow of the path, if its webhook accepts the request.

    :raises ApiError: 400, 401, 405, or 500 if the orchestrator is down.
    """
    workflow = _workflow_of(tracecat, request)
    if workflow.webhook != "online":
        raise refusal(400, "Webhook is offline")
    if request.method not in workflow.webhook_methods:
        raise refusal(405, "Request method not allowed")
    if tracecat.temporal_down:
        raise unexpected()
    return workflow


def _start(tracecat: Tracecat, workflow: Workflow, inputs: Any, draft: bool = False) -> Execution:
    with tracecat.lock:
        if not draft and not workflow.committed:
            raise refusal(404, "Workflow definition not found")
        if tracecat.starts_fail or workflow.start_fails:
            raise unexpected()
        kind = "draft" if draft else "published"
        return tracecat.start(workflow, inputs, RUNNER, trigger_type="webhook", execution_type=kind, acknowledged=True)


async def _inputs(request: Request) -> Any:
    body = await request.body()
    if not body:
        return None
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {name: values[0] for name, values in parse_qs(body.decode()).items()}
    try:
        return json.loads(body)
    except ValueError:
        raise refusal(400, "Invalid JSON payload") from None


def _answer(tracecat: Tracecat, workflow: Workflow, text: str) -> None:
    try:
        payload = json.loads(text)
    except ValueError:
        raise refusal(400, "Invalid JSON in Slack interaction payload") from None
    try:
        interaction = payload["message"]["metadata"]["event_payload"]["interaction"]
        execution_id, interaction_id = str(interaction["execution_id"]), str(interaction["interaction_id"])
    except (KeyError, TypeError):
        raise unexpected() from None
    execution = next((item for item in tracecat.executions if item.id == execution_id and item.workspace == workflow.workspace), None)
    if execution is None:
        raise refusal(404, "Workflow not found")
    state = execution.state
    step: Step | None = next((item for item in state.steps if item.waiting and item.interaction_id == interaction_id), None)
    if state.over:
        raise unexpected()
    if step is None:
        raise ApiError(500, {"detail": "Failed to process interaction: Workflow update failed"})
    tracecat.record_answer(execution, step, payload)
