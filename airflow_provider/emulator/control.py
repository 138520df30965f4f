"""Routes for other processes: read the ledger and the executions, add faults and scenarios, act as a person."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import dataclasses
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request

from airflow_provider.emulator.faults import Fault, Faults
from airflow_provider.emulator.json_text import JsonResponse, read_json
from airflow_provider.emulator.lazy_routes import api
from airflow_provider.emulator.ledger import Ledger
from airflow_provider.emulator.scenario_file import add_scenario
from airflow_provider.emulator.system import ScenarioError, System


def control_application(systems: Mapping[str, System], ledger: Ledger, faults: Faults) -> FastAPI:
    """Return the application behind ``/_emulator``; errors are ``{"error": text}`` with 400 or 404."""
    application = api()
    application.add_exception_handler(ValueError, _bad)
    application.add_exception_handler(LookupError, _missing)

    @application.get("/ledger")
    async def read_ledger() -> list[dict[str, Any]]:
        return [dataclasses.asdict(entry) | {"body": entry.body.decode("utf-8", "replace")} for entry in ledger.entries]

    @application.delete("/ledger", status_code=204)
    async def clear_ledger() -> None:
        ledger.clear()

    @application.post("/faults", status_code=201)
    async def add_fault(request: Request) -> dict[str, Any]:
        body = await _object(request)
        try:
            fault = faults.add(Fault(**body))
        except TypeError as error:
            raise ValueError(str(error)) from None
        return {"kind": fault.kind}

    @application.delete("/faults", status_code=204)
    async def clear_faults() -> None:
        faults.clear()

    @application.post("/acts")
    async def act(request: Request) -> dict[str, Any]:
        body = await _object(request)
        system = systems.get(str(body.pop("system", "buddy")))
        if system is None:
            raise LookupError(f"no such system: one of {', '.join(systems)}")
        name, ref = str(body.pop("act", "")), str(body.pop("ref", ""))
        made = system.act(name, ref, **body)
        # An act that makes an execution tells its ref.
        return {"act": name, "ref": ref} | ({"execution": made.ref} if hasattr(made, "ref") else {})

    @application.get("/executions")
    async def read_executions() -> list[dict[str, Any]]:
        return [execution for system in systems.values() for execution in system.describe_executions()]

    @application.post("/pipelines", status_code=201)
    async def add_pipelines(request: Request) -> list[dict[str, Any]]:
        return systems["buddy"].load({"pipelines": [await _object(request)]})

    @application.post("/scenario", status_code=201)
    async def add(request: Request) -> dict[str, list[dict[str, Any]]]:
        return add_scenario(systems, await _object(request))

    return application


async def _object(request: Request) -> dict[str, Any]:
    body = read_json(await request.body())
    if not isinstance(body, dict):
        raise ScenarioError("the body must be a JSON object")
    return body


async def _bad(request: Request, error: Exception) -> JsonResponse:
    return JsonResponse({"error": str(error)}, 400)


async def _missing(request: Request, error: Exception) -> JsonResponse:
    return JsonResponse({"error": str(error)}, 404)
