"""Types for fields of answers, where it matters what becomes of a value that is not what the contract says."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

T = TypeVar("T")

DEMANDED = "demanded"
"""Type of the error of a value that must not be left out."""


def _insist(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError as error:
        raise PydanticCustomError(DEMANDED, "{reason}", {"reason": error.errors(include_url=False)[0]["msg"]}) from None


def _secret_if_unsure(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return True


def _objects(value: Any) -> Any:
    for item in value if isinstance(value, list) else ():
        if not isinstance(item, dict):
            raise PydanticCustomError(DEMANDED, "Input should hold objects only")
    return [] if value is None else value


def _number(value: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("id", "Input should be an id: a whole number, from 1 on")
    return value


Id = Annotated[int, Field(ge=1), BeforeValidator(_number)]
"""A number by which something is named, also as text. Nothing else is read as one: true is no 1, which is somebody's execution."""
Demanded = WrapValidator(_insist)
"""Marks a field that decides: such as where a list goes on. Without it, what follows would look as if it did not exist."""
PageOf = Annotated[list[T], BeforeValidator(_objects)]
"""The objects of a page; null is none. Unlike other lists, it drops no item that can't be read: a look-up might miss what it seeks."""
PartStatus = Annotated[str | None, BeforeValidator(lambda value: value if value is None or isinstance(value, str) else "UNKNOWN")]
"""The status of a part of an execution, or of something around it: one that is no text is unknown, and breaks nothing."""
SecretFlag = Annotated[bool | None, WrapValidator(_secret_if_unsure)]
"""Whether something is secret; true if the answer can't be understood."""
