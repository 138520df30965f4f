"""What the arguments of a task become when Airflow renders its templates: a text stays the text that was written, nothing is an error."""

from __future__ import annotations

import os
from ast import literal_eval
from collections import UserList, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider import _compat
from airflow_provider.errors import ConfigurationError, one_line
from airflow_provider.execution.model.arguments import plain_json

if TYPE_CHECKING:
    from typing import ClassVar

    import jinja2
    from airflow.sdk import Context

Kind = Literal["text", "free text", "id", "moment", "texts", "some texts", "json", "some json", "local"]
"""
What an argument takes. A ``"free text"`` is for people, and may be empty; an ``"id"`` may be a number. ``"texts"`` are a dict or list of
texts, ``"some texts"`` a list that means something else if it is empty. ``"json"`` is any JSON value; ``"some json"`` as well, but an empty
list or dict means something else. ``"local"`` is any value that is not sent, so that it need not be JSON.
"""
_JSON_KINDS = ("json", "some json")
_SOME_KINDS = ("some texts", "some json", "local")
_TEXT_KINDS = ("text", "free text", "id", "moment")
_NAME_KINDS = ("text", "id", "moment")
_KEPT_IN_TEXTS = (bool, dict, list, tuple, set)
_SHOWN_CHARACTERS = 200
_ADVICE = "What is written must give a value: add a default to the template, or leave the argument out."

_NATIVE_ADVICE = (
    "It would be sent as Python writes it: set render_template_as_native_obj=True for the DAG or the task, or use tojson in the template "
    "where text is meant."
)
_ONE_VALUE_ADVICE = "It must be text. Pass the one value that is meant, such as one key of it."


class RenderedArguments:
    """
    Mixin of operators and sensors: all of them treat templates alike.

    - A text argument is rendered to text, also with ``render_template_as_native_obj``, which would turn ``"1.10"`` into 1.1.
    - An argument that was written, and gives None or an empty text, is an error: it must not count as not given.

    Errors are found while Airflow renders, and raised by :meth:`_check_arguments`, before anything is started.
    """

    if TYPE_CHECKING:
        template_fields: Sequence[str]
        template_ext: Sequence[str]

        def get_template_env(self, dag: Any = None) -> jinja2.Environment:
            """See Airflow's ``BaseOperator``."""

        def _should_render_native(self, dag: Any = None) -> bool: ...

        def get_dag(self) -> Any:
            """See Airflow's ``BaseOperator``."""

    argument_kinds: ClassVar[Mapping[str, Kind]] = {}
    """
    What the class's own templated arguments take. In a class of this package an argument that is not named takes ``"text"``; one that a
    subclass of yours adds is Airflow's alone, unless it is named here.
    """
    _field: _Field | None = None
    _problems: Mapping[str, str] = {}

    def _kind(self, name: str) -> Kind | None:
        """What an argument takes; None if only a subclass outside this package has it, which says nothing about it."""
        for cls in type(self).__mro__:
            if name in (kinds := vars(cls).get("argument_kinds", {})):
                return kinds[name]  # type: ignore[no-any-return]
        ours = (cls for cls in type(self).__mro__ if cls.__module__.startswith("airflow_provider."))
        return "text" if any(name in vars(cls).get("template_fields", ()) for cls in ours) else None

    def _check_arguments(self) -> None:
        """
        Check the rendered arguments.

        :raises ConfigurationError: for one that rendered to nothing, or to another type.
        """
        for problem in self._problems.values():
            raise ConfigurationError(problem)
        for name in self.template_fields:
            if (kind := self._kind(name)) is not None and kind in _TEXT_KINDS:
                _check_text(name, kind, getattr(self, name))

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, jinja_env: jinja2.Environment, seen_oids: set[int]
    ) -> None:
        """Airflow calls this for plain and for mapped tasks."""
        render: Callable[..., None] = super()._do_render_template_fields  # type: ignore[misc]
        if parent is not self:
            render(parent, template_fields, context, jinja_env, seen_oids)
            return
        expanded = getattr(self, "_BaseOperator__init_kwargs", {}) if getattr(self, "_BaseOperator__from_mapped", False) else {}
        self._problems = {}
        native = _compat.renders_natively(self)
        for name in template_fields:
            if (kind := self._kind(name)) is None:
                render(self, (name,), context, jinja_env, seen_oids)
                continue
            written = getattr(self, name)
            self._field = field = _Field(name, kind, native, [], [])
            try:
                render(self, (name,), context, jinja_env, seen_oids)
            finally:
                self._field = None
            value = getattr(self, name)
            if name in expanded and field.is_nothing(written):
                field.problems.append(f"The argument {name} is {written!r} in an element that the task is mapped over: leave it out.")
            elif field.is_nothing(value) and not (written is None or isinstance(written, str)):
                field.problems.append(f"The argument {name} was written as {_shown(written)}, and gives {value!r}. {_ADVICE}")
            elif field.kind in _SOME_KINDS and (written or name in expanded) and isinstance(value, (Sequence, Mapping)) and not len(value):
                what = "dict" if isinstance(value, Mapping) else "list"
                field.problems.append(f"The argument {name} was written as {_shown(written)}, and gives an empty {what}. {_ADVICE}")
            setattr(self, name, field.settled(value))
            if field.problems:
                self._problems[name] = field.problems[0]

    def render_template(
        self, content: Any, context: Context, jinja_env: jinja2.Environment | None = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render a value, see Airflow's ``BaseOperator``; the arguments of this class as described there."""
        field = self._field
        if field is not None and (type(content) is dict or (isinstance(content, Mapping) and field.kind != "local")):
            return {key: self._render_item(field, f"[{key!r}]", value, context, jinja_env, seen_oids) for key, value in content.items()}
        if field is not None and (type(content) in (list, tuple) or (isinstance(content, (UserList, deque)) and field.kind != "local")):
            items = enumerate(content)
            return (tuple if type(content) is tuple else list)(
                self._render_item(field, f"[{index}]", value, context, jinja_env, seen_oids) for index, value in items
            )
        if field is None or not isinstance(content, str):
            return super().render_template(content, context, jinja_env, seen_oids)  # type: ignore[misc]
        env = jinja_env or self.get_template_env()
        is_file = content.endswith(tuple(self.template_ext))
        if not is_file and not _is_template(content, env):
            return str.__str__(content)  # as written: Jinja would drop a line end, and native rendering read it as a literal
        rendered = _render(env, content, context, is_file=is_file)
        if what := field.nothing(rendered):
            field.problems.append(f"The argument {field.path} was written as {_shown(content)}, and {what}. {_ADVICE}")
        elif what := field.repr_of(rendered):
            advice = _ONE_VALUE_ADVICE if field.kind in _NAME_KINDS else _NATIVE_ADVICE
            field.problems.append(f"The argument {field.path} was written as {_shown(content)}, and gives {what}. {advice}")
        return field.value(rendered)

    def _render_item(self, field: _Field, key: str, content: Any, context: Context, *others: Any) -> Any:
        field.keys.append(key)
        try:
            value = self.render_template(content, context, *others)
            if value is None and content is not None and field.kind not in (*_JSON_KINDS, "local"):
                field.problems.append(f"The argument {field.path} was written as {_shown(content)}, and gives None. {_ADVICE}")
        finally:
            field.keys.pop()
        return value


class _Rendered(NamedTuple):
    """
    A rendered template. ``value``: of the expression, if it is only one, and ``only``: the same, blanks around it apart; ``values``: of all
    expressions; ``has_none``: whether one gave None.
    """

    text: str
    value: Any
    only: Any
    values: Sequence[Any]
    has_none: bool


class _Field(NamedTuple):
    """An argument that is being rendered. ``keys``: where in a dict or list, ``problems``: found so far."""

    name: str
    kind: Kind
    native: bool
    keys: list[str]
    problems: list[str]

    @property
    def path(self) -> str:
        return "".join((self.name, *self.keys))

    def nothing(self, rendered: _Rendered) -> str | None:
        """How a template has rendered to nothing; None if it has a value."""
        text = rendered.text.strip()
        if text == "None":
            is_null = self.kind in _JSON_KINDS and self.keys and self.native and rendered.value is None
            return None if is_null else "renders to None"
        may_be_empty = self.kind == "free text" or (self.keys and self.kind in ("texts", *_JSON_KINDS))
        if not text and (rendered.has_none or not may_be_empty):
            return "renders to an empty text"
        if rendered.has_none and self.kind in (*_NAME_KINDS, "some texts", "local"):
            return f"renders to {rendered.text[:_SHOWN_CHARACTERS]!r}: a part of it is None"
        return None

    def repr_of(self, rendered: _Rendered) -> str | None:
        """What a dict, a list or a generator is whose text is Python's own; None if the template gives something else, or may give one."""
        if self.kind in _NAME_KINDS:  # also a part of a name
            return next((what for value in rendered.values if (what := _container(value))), None)
        return None if self.native or self.kind == "free text" else _container(rendered.only)

    def value(self, rendered: _Rendered) -> Any:
        """What the argument becomes: the text, or with native rendering the value of its only expression."""
        if not self.native or self.kind in _TEXT_KINDS:
            return rendered.text
        value = rendered.value
        if self.kind not in _JSON_KINDS and self.keys and not isinstance(value, _KEPT_IN_TEXTS):
            return rendered.text
        if not isinstance(value, str):
            return value
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            if not self.keys and isinstance(container := literal_eval(rendered.text), (dict, list, tuple)):
                return container
        return rendered.text

    def is_nothing(self, value: object) -> bool:
        """Whether the whole argument is None, or an empty text where that has no meaning."""
        return value is None or (isinstance(value, str) and not value.strip() and self.kind != "free text")

    def settled(self, value: Any) -> Any:
        """
        The whole argument: a number as text; JSON as plain JSON, and what Airflow reads item by item, such as the results of a mapped task,
        as a list; None for what can't be sent, which Airflow could not show either.
        """
        if self.kind == "text" and not isinstance(value, (str, int)):
            return _path_as_text(value)
        if self.kind == "local" or (self.kind in _TEXT_KINDS and not isinstance(value, (str, int))):
            return value
        try:
            plain = plain_json(value, f"The argument {self.name}")
        except ConfigurationError as error:
            self.problems.append(str(error))
            return None
        if self.kind in ("text", "free text") and type(value) is int:
            return str(value)
        if self.kind in _NAME_KINDS and isinstance(value, str):
            return str.__str__(value).strip()
        return plain if self.kind in _JSON_KINDS or not isinstance(value, (str, int, list, tuple, dict)) else value


def _container(value: object) -> str | None:
    if isinstance(value, (str, bytes)):
        return None
    if isinstance(value, Mapping):
        return "a dict"
    if isinstance(value, (Sequence, Set, ValuesView)):  # views of keys and items are sets
        return "a list"
    return "a generator" if isinstance(value, Iterator) else None


def _path_as_text(value: Any) -> Any:
    """A path of Airflow's storage or of Python as text; anything else unchanged."""
    from airflow.sdk import ObjectStoragePath

    return str(value) if isinstance(value, (os.PathLike, ObjectStoragePath)) else value


def _check_text(name: str, kind: Kind, value: object) -> None:
    if value is None or (kind == "id" and type(value) is int) or (kind == "moment" and isinstance(value, date)):
        return
    if isinstance(value, str) and not value.strip() and kind != "free text":
        raise ConfigurationError(f"The argument {name} is an empty text. Give it a value, or leave it out.")
    if not isinstance(value, (str, int, os.PathLike)) or isinstance(value, bool):
        shown = f" {value!r}" if isinstance(value, (bool, float)) else ""
        raise ConfigurationError(
            f"The argument {name} must be text, not {type(value).__name__}{shown}. Pass text, such as '1.10' in quotes: a number does not "
            "keep how it was written. Of an XCom, or with render_template_as_native_obj=True, pass the one value that is meant."
        )


def _shown(written: object) -> str:
    return repr(one_line(written, _SHOWN_CHARACTERS))


def _is_template(text: str, env: jinja2.Environment) -> bool:
    starts = (
        env.variable_start_string, env.block_start_string, env.comment_start_string, env.line_statement_prefix, env.line_comment_prefix,
    )  # fmt: skip
    return any(start and start in text for start in starts)


def _render(env: jinja2.Environment, source: str, context: Context, *, is_file: bool) -> _Rendered:
    """Render a template to text, and note the value of each of its expressions, and None within them."""
    import jinja2
    from airflow.sdk.definitions.context import render_template_to_string

    from airflow_provider.execution.tasks.template_parts import note_parts

    values: list[Any] = []
    parts: list[Any] = []

    @jinja2.pass_context  # so that constants are seen as well
    def note(_: Any, value: Any) -> str:
        values.append(None if isinstance(value, jinja2.Undefined) else value)
        return str(value)

    overlay = env.overlay() if env.finalize else env.overlay(finalize=note)
    note_parts(overlay, parts.append)
    overlay.concat = "".join  # type: ignore[method-assign]
    overlay.template_class = jinja2.Template
    text = render_template_to_string(overlay.get_template(source) if is_file else overlay.from_string(source), context)
    last = str(values[-1]) if values else None
    single, only = (values[-1] if last is not None and last == whole else text for whole in (text, text.strip()))
    has_none = any(value is None for value in values)
    # A part may serve something else, such as a comparison
    return _Rendered(text, single, only, values, has_none or ("none" in text.lower() and any(part is None for part in parts)))
