"""
Pipelines as code: ``buddy.yml`` in the form of Buddy's API, see https://buddy.works/docs/yaml/yaml-pipelines/yaml-schema.

Layouts: a list of pipelines (``buddy.yml`` or any other file), one pipeline in each file of ``.buddy/`` (also ``*.fixed.yml``, which Buddy
reads from one branch), a list of actions (a fragment that a pipeline includes), a template, and a pipeline whose definition is elsewhere.
Of the latter two, the parameters are judged; what is elsewhere is a gap. So is a pipeline without ``actions``, which may be misspelt.

Most fields are named as in the API. What differs:

===========================================  ====================================================================
In ``buddy.yml``                             In the API
===========================================  ====================================================================
``pipeline``, ``action``                     ``name``
``trigger_mode: MANUAL``, ``on: CLICK``      no ``events``
``ref_name``, ``ref_type``                   ``refs``
``trigger_condition: ...``                   ``trigger_conditions: [{trigger_condition: ...}]``
``integration: name``, ``integration_hash``  ``integration: {identifier: name}``
``settable: "enabled"`` of a variable        ``settable: true``
``value: secure!...`` of a variable          ``encrypted: true``
``K=v``, ``K: v`` as a variable              ``key: K``, ``value: v``
``name: K`` of a variable without ``key``    ``key: K``
one text where a list is expected            a list of it
a number where a text is expected            the text as it is written
``!{name:value}`` in a template              ``value``
``!name`` in a template                      ``${name}``, which no rule knows; not known where no text is expected
===========================================  ====================================================================

A field whose value is invalid is not known, and a gap. So are a variable of another form, and an unknown field whose name is nearly that of
one with commands, images, variables or actions. Other unknown fields are searched for secrets only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from itertools import takewhile
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from airflow_provider.audit.definitions.comments import comments_in
from airflow_provider.audit.definitions.document import Document, read_document
from airflow_provider.audit.facts.action import SCRIPT_FIELDS, ActionConfiguration
from airflow_provider.audit.facts.fact import Damage, Fact, Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.origin import Comment, Key, Origin
from airflow_provider.audit.facts.pipeline import ActionSummary, PipelineFacts
from airflow_provider.audit.records import from_buddy
from airflow_provider.audit.records.reading import read
from airflow_provider.buddy.api import action_models, models
from airflow_provider.errors import ConfigurationError

M = TypeVar("M", bound=BaseModel)
NAMES = {"name": "action"}
PIPELINE_NAMES = {"name": "pipeline", "identifier": "pipeline"}
_TEMPLATE_LINE = re.compile(r"^([ \t]*)(!\w+)[ \t]*$", re.MULTILINE)
_TEMPLATE_VALUE = re.compile(r"(?<=[:\-] )(!\{[^}\n]*\})[ \t]*$", re.MULTILINE)
_PARAMETER = re.compile(r"!\{(\w+)(?::([^{}]*))?\}")
_OPEN = re.compile(r"!\w+")
_VARIABLES = ("variables", "remote_parameters")
PIPELINE_FIELDS = ("actions", "targets", "events", *_VARIABLES)
ACTION_FIELDS = (*SCRIPT_FIELDS, "variables", "services", "docker_image_name", "docker_image_tag", "targets")
"""Fields without which faults would be missed: a name that is nearly the same is told."""
_COMMAND_WORDS = frozenset({"command", "commands", "cmd", "cmds", "script", "scripts", "run", "exec"})
"""Last words of names of unknown fields that may hold commands."""
MAX_UNKNOWN = 200
MAX_NAME = 100
_CAPITAL = re.compile(r"([A-Z]+)")
_PAIR = re.compile(r"([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)
_YES = frozenset({"enabled", "true", "yes", "on"})
_REF_PREFIXES = {"BRANCH": "refs/heads/", "TAG": "refs/tags/", "PULL_REQUEST": "refs/pull/"}


def is_buddy_yaml(data: Any) -> bool:
    """Whether parsed YAML has one of the layouts of pipelines or actions."""
    if isinstance(data, Mapping):
        return _is_pipeline(data)
    return isinstance(data, list) and any(isinstance(item, Mapping) and (_is_pipeline(item) or _is_action(item)) for item in data)


def _is_pipeline(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("pipeline"), (str, int, float)) and "kind" not in item and "data" not in item


def _is_action(item: Mapping[str, Any]) -> bool:
    return "action" in item and "type" in item and "kind" not in item


def read_template(text: str, name: str) -> tuple[Document, list[tuple[int, str]]]:
    """
    Read a file that may be a template: a line that is only a parameter, such as ``!steps``, is not YAML.

    :returns: the document, and line and name of each such parameter.
    :raises ConfigurationError: if it is not YAML otherwise.
    """
    try:
        return read_document(text, name), []
    except ConfigurationError:
        filled = _TEMPLATE_LINE.sub(r"\1#\2", _TEMPLATE_VALUE.sub(r'"\1"', text))
        if filled == text:
            raise
        document = read_document(filled, name)
        document.lines = text.splitlines()
        return document, [(text.count("\n", 0, match.start()) + 1, match[2]) for match in _TEMPLATE_LINE.finditer(text)]


def facts_of(document: Document, number: int, seen_at: datetime, comments: tuple[Comment, ...] | None = None) -> Iterator[Fact]:
    """
    The facts of one YAML document: pipelines and their actions, and gaps.

    :param number: of the document in the file.
    :param comments: of the file; None to read them.
    """
    file = _File(document, seen_at, comments_in(document.lines, document.name) if comments is None else comments)
    data = document.data[number]
    if isinstance(data, Mapping):
        yield from file.pipeline(data, (number,), 1)
        return
    if not isinstance(data, list):
        yield file.gap((number,), "This is neither a pipeline nor a list of pipelines.")
        return
    fragment = []
    for index, item in enumerate(data):
        if isinstance(item, Mapping) and _is_pipeline(item):
            yield from file.pipeline(item, (number, index), index + 1)
        elif isinstance(item, Mapping) and "action" in item:
            fragment.append(((number, index), item))
        else:
            yield file.gap((number, index), "This is neither a pipeline nor an action.")
    if fragment:
        yield from file.fragment(fragment, (number,))


def _summary(id: str, action: Mapping[str, Any]) -> ActionSummary:
    timeout = action.get("timeout")
    seconds = None if timeout is None else timeout if isinstance(timeout, int) else 1  # what can't be read is a limit of some kind
    return ActionSummary(id, _text(action.get("action")), _text(action.get("type")), action.get("disabled") is True, seconds)


class _File:
    """Makes the facts of one file."""

    def __init__(self, document: Document, seen_at: datetime, comments: tuple[Comment, ...]) -> None:
        self._document, self._seen_at, self._comments = document, seen_at, comments
        self._used: dict[str, int] = {}

    def pipeline(self, item: Mapping[str, Any], key: Key, number: int) -> Iterator[Fact]:
        """A pipeline and its actions."""
        data, unknown = self._plain(item, key, models.Pipeline)
        name = str(data.pop("pipeline", None) or self._stem())
        actions = data.pop("actions", None)
        _adapt_triggers(data)
        lost = self._adapt_variables(data, key)
        data = {**data, "id": number, "name": str(data.get("name") or name), "identifier": name}
        model, wrong = _lenient(models.Pipeline, data)
        subject = self._subject(f"{self._document.name}/{name}", "pipeline", str(data["name"]), key, PIPELINE_NAMES)
        facts = from_buddy.pipeline_facts(model, self._document.name, name, conn_id="", seen_at=self._seen_at)
        listed = list(self._named(actions, (*key, "actions")))
        summaries = tuple(_summary(id, one) for id, _, one in listed)
        pipeline = replace(facts, subject=subject, actions=summaries)
        yield pipeline
        unread = {name for name in _VARIABLES if name in data and not isinstance(data[name], (list, type(None)))}
        yield from self._wrong(subject, {*wrong} | unknown | unread)
        yield from (self.gap(where, reason, subject) for where, reason in (*lost, *_misspelt(item, key, PIPELINE_FIELDS)))
        if data.get("definition_source") == "REMOTE" or data.get("remote_path"):
            yield self.gap(key, f"Its actions are in {_remote(data)}, which is not part of this file.", subject)
        elif actions is None and isinstance(config := data.get("git_config"), Mapping):
            place = _remote({f"remote_{name}": value for name, value in config.items()})
            yield self.gap(key, f"Its actions are in {place}, which is not part of this file.", subject)
        elif actions is None:
            yield self.gap(key, "It has no actions, and does not say where they are.", subject)
        elif not isinstance(actions, list):
            yield self.gap((*key, "actions"), "This is not a list of actions.", subject)
        for id, where, one in listed:
            yield from self._action(id, one, where, pipeline)
        if isinstance(actions, list):
            for position, one in enumerate(actions):
                if not (isinstance(one, Mapping) and ("action" in one or "type" in one)):
                    yield self.gap((*key, "actions", position), "This is not an action.", subject)

    def fragment(self, items: Iterable[tuple[Key, Mapping[str, Any]]], key: Key) -> Iterator[Fact]:
        """A list of actions without a pipeline."""
        prefix = f"{self._document.name}/"
        listed = [(_numbered(self._used, prefix + _text(one.get("action"))).removeprefix(prefix), where, one) for where, one in items]
        subject = self._subject(f"{self._document.name}", "pipeline", self._stem(), key, {})
        pipeline = PipelineFacts(
            subject=subject,
            seen_at=self._seen_at,
            detailed=False,
            id=1,
            name=self._stem(),
            workspace=self._document.name,
            project=self._stem(),
            actions=tuple(_summary(id, one) for id, _, one in listed),
        )
        yield pipeline
        for id, where, one in listed:
            yield from self._action(id, one, where, pipeline)

    def gap(self, key: Key, reason: str, subject: Subject | None = None) -> GapFacts:
        """Something that was not judged."""
        origin = self._origin(key, {})
        place = f"{self._document.name}, line {self._document.names.get(key, origin.start.line)}"
        about = subject or Subject(f"buddy:{self._document.name}:{origin.start.line}", "file", place, "buddy", "", None, origin)
        return GapFacts(subject=about, reason=reason if subject is None else f"{place}: {reason}")

    def _action(self, id: str, item: Mapping[str, Any], key: Key, pipeline: PipelineFacts) -> Iterator[Fact]:
        data, unknown = self._plain(item, key, ActionConfiguration)
        name = str(data.pop("action", None) or id)
        _adapt_action(data)
        lost = self._adapt_variables(data, key)
        data["name"] = name
        answer = read(action_models.AnyAction, data, "An action of a file")
        own = {field: value for field, value in data.items() if field in ActionConfiguration.model_fields}
        wrong = {item.name.partition(".")[0] for item in answer.damage if not item.cut} | {*_lenient(ActionConfiguration, own)[1]} | unknown
        facts = from_buddy.action_facts(answer.model, pipeline)
        place = f"{pipeline.subject.id.partition(':')[2]}/action/{id}"
        subject = self._subject(place, "action", f"{pipeline.name} / {name}", key, NAMES)
        damage = (
            *(item for item in answer.damage if item.cut),
            *(Damage(field, why=self._told(subject, field)) for field in sorted(wrong)),
        )
        yield replace(facts, subject=subject, id=id, name=name, unknown=frozenset(wrong), damage=damage)
        if item.get("actions"):
            lost.append(((*key, "actions"), "These actions within an action were not judged."))
        yield from (self.gap(where, reason, subject) for where, reason in (*lost, *_misspelt(item, key, ACTION_FIELDS)))

    def _wrong(self, subject: Subject, names: set[str]) -> Iterator[Fact]:
        for name in sorted(names):
            yield GapFacts(subject=subject, reason=f"{name}: {self._told(subject, name)}.")

    def _told(self, subject: Subject, name: str) -> str:
        assert subject.origin is not None
        return f"{self._document.name}, line {subject.origin.at(name).line}: the value is invalid, or not known here"

    def _named(self, actions: Any, key: Key) -> Iterator[tuple[str, Key, Mapping[str, Any]]]:
        used: dict[str, int] = {}
        for position, item in enumerate(actions if isinstance(actions, list) else ()):
            if isinstance(item, Mapping) and ("action" in item or "type" in item):
                yield _numbered(used, _text(item.get("action")) or _text(item.get("type"))), (*key, position), item

    def _subject(self, place: str, kind: str, title: str, key: Key, names: Mapping[str, str]) -> Subject:
        if kind == "pipeline":
            place = _numbered(self._used, place)
        return Subject(f"buddy:{place}", kind, title, "buddy", "", None, self._origin(key, names))

    def _origin(self, key: Key, names: Mapping[str, str]) -> Origin:
        document = self._document
        return Origin(document.name, document.lines, document.places, key, names, self._comments)

    def _stem(self) -> str:
        stem = self._document.name.rpartition("/")[2]
        for suffix in (".yml", ".yaml", ".fixed"):
            stem = stem.removesuffix(suffix)
        return stem

    def _plain(self, item: Mapping[str, Any], key: Key, model: type[BaseModel]) -> tuple[dict[str, Any], set[str]]:
        """The fields, with texts and lists where the API has them, and the names of those that a template leaves open."""
        made: dict[str, Any] = {}
        unknown: set[str] = set()
        texts, lists = _shapes(model)
        for name, value in item.items():
            value = _filled(value)
            if isinstance(value, str) and _OPEN.fullmatch(value) and name in model.model_fields and name not in texts | lists:
                unknown.add(name)
                continue
            if isinstance(value, str) and _OPEN.fullmatch(value):
                value = f"${{{value[1:]}}}"
            if name in lists and value is not None:
                listed = list(_items(value, (*key, name), commands=name in SCRIPT_FIELDS or name == "after_commands"))
                made[name] = [self._as_text(one, where) for one, where in listed]
                self._document.move_all([where for _, where in listed], (*key, name))
            elif name in texts and value is not None and not isinstance(value, (list, Mapping)):
                made[name] = self._as_text(value, (*key, name))
            else:
                made[name] = value
        return made, unknown

    def _adapt_variables(self, data: dict[str, Any], key: Key) -> list[tuple[Key, str]]:
        """
        Give variables and parameters the form of the API. One that can't be read keeps its place, so that the others keep their numbers.

        :returns: place of and reason for each that can't be read.
        """
        lost: list[tuple[Key, str]] = []
        for name in _VARIABLES:
            listed = data.get(name)
            if isinstance(listed, Mapping):
                for number, one in enumerate(listed):
                    self._document.move((*key, name, one), (*key, name, number))
                listed = [
                    {"key": one, **value} if isinstance(value, Mapping) else {"key": one, "value": value} for one, value in listed.items()
                ]
            if isinstance(listed, str) and _PAIR.fullmatch(listed):
                listed = [listed]
            if isinstance(listed, list):
                made = [_variable(item) for item in listed]
                lost += [
                    ((*key, name, number), "This is no variable with a key and a value.") for number, one in enumerate(made) if one is None
                ]
                data[name] = [{"key": ""} if one is None else one for one in made]
        return lost

    def _as_text(self, value: Any, key: Key) -> str:
        """A value as it is written. A command with a colon, such as ``- echo a: b``, is a mapping to YAML."""
        if isinstance(value, str):
            return f"${{{value[1:]}}}" if _OPEN.fullmatch(value) else value
        if key in self._document.written:
            return self._document.written[key]
        if isinstance(value, Mapping) and (place := self._document.places.get(key)):
            first, *others = self._document.lines[place.line - 1 :]
            inner = takewhile(lambda line: not line[: place.column - 1].strip() and line.strip(), others)
            return " ".join([first[place.column - 1 :], *(line.strip() for line in inner)])
        return "" if value is None else str(value)


def _numbered(used: dict[str, int], name: str) -> str:
    """A name that nothing else has: the second of the same name becomes ``name (2)``. ``used``: names, and the last number of each."""
    made = name
    while made in used:
        used[name] += 1
        made = f"{name} ({used[name]})"
    used[made] = 1
    return made


def _items(value: Any, key: Key, *, commands: bool) -> Iterator[tuple[Any, Key]]:
    """
    The items of a list, and where they are. Lists within it, such as shared ones by an alias, are part of it; of commands also the values
    of a mapping, unless that is a command with a colon, which is one to YAML.
    """
    if isinstance(value, list):
        for position, item in enumerate(value):
            yield from _items(item, (*key, position), commands=commands)
    elif commands and isinstance(value, Mapping) and all(isinstance(name, str) and " " not in name for name in value):
        for name, item in value.items():
            yield from _items(item, (*key, name), commands=commands)
    else:
        yield value, key


def _misspelt(item: Mapping[str, Any], key: Key, fields: Iterable[str]) -> Iterator[tuple[Key, str]]:
    """Unknown fields that are called nearly as one that matters, or as if they held commands: place and reason of each."""
    known = {*ActionConfiguration.model_fields, *models.Pipeline.model_fields, *fields, "action", "target"}
    for name in sorted({*item} - known)[:MAX_UNKNOWN]:
        plain = _CAPITAL.sub(r"_\1", name[:MAX_NAME]).strip("_").lower().replace("-", "_").replace(" ", "_")
        if like := get_close_matches(plain, fields, 1, 0.85):
            yield (*key, name), f"{name} is not known, so it was not judged. Is {like[0]} meant?"
        elif "execute_commands" in fields and plain.rpartition("_")[2] in _COMMAND_WORDS and isinstance(item[name], (str, list)):
            yield (*key, name), f"{name} is not known. If it holds commands, they were not judged: their field is execute_commands."


def _filled(value: Any) -> Any:
    """A value in which parameters have their defaults, or are variables."""
    if isinstance(value, str):
        return _PARAMETER.sub(lambda match: match[2] if match[2] is not None else f"${{{match[1]}}}", value)
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _filled(item) for name, item in value.items()}
    return value


def _adapt_triggers(data: dict[str, Any]) -> None:
    """Older ways to say when a pipeline or an action runs."""
    if isinstance(condition := data.pop("trigger_condition", None), str) and not data.get("trigger_conditions"):
        names = ("trigger_condition_paths", "trigger_variable_key", "trigger_variable_value", "trigger_hours", "trigger_days")
        data["trigger_conditions"] = [{"trigger_condition": condition, **{name: data[name] for name in names if name in data}}]
    if isinstance(name := data.pop("ref_name", None), str) and not data.get("refs"):
        data["refs"] = [_REF_PREFIXES.get(str(data.get("ref_type")), "") + name]
    if isinstance(refs := data.get("refs"), str):
        data["refs"] = [refs]
    when = data.get("on") or {"MANUAL": "CLICK", "SCHEDULED": "SCHEDULE", "ON_EVERY_PUSH": "EVENT"}.get(str(data.get("trigger_mode")))
    if when and "trigger_mode" in data:
        data["on"] = when
    if when == "EVENT" and not data.get("events"):
        data["events"] = [{"type": "PUSH", "refs": data.get("refs") or []}]
    if when == "SCHEDULE" and not data.get("events"):
        data["events"] = [{"type": "SCHEDULE", **{name: data[name] for name in ("cron", "delay", "start_date") if name in data}}]


def _adapt_action(data: dict[str, Any]) -> None:
    _adapt_triggers(data)
    if isinstance(data.get("pipeline"), (str, int)):  # that RUN_NEXT_PIPELINE runs
        data["pipeline"] = {"name": str(data["pipeline"])}
    name = data.get("integration") or data.get("integration_hash") or data.get("integration_id")
    if isinstance(name, (str, int)):
        data["integration"] = {"identifier": str(name)}


def _variable(item: Any) -> dict[str, Any] | None:
    """A variable in the form of the API; None if it has none of the forms that are known."""
    if isinstance(item, str) and (pair := _PAIR.fullmatch(item)):
        item = {"key": pair[1], "value": pair[2]}
    if not isinstance(item, Mapping):
        return None
    if "key" not in item and "name" in item:
        item = {"key": item["name"], **item}
    elif len(item) == 1 and models.Variable.model_fields.keys().isdisjoint(item):
        item = dict(zip(("key", "value"), *item.items(), strict=True))
    value = item.get("value")
    if not isinstance(item.get("key"), (str, int, float)) or isinstance(value, (list, Mapping)):
        return None
    made = {**item, "key": str(item["key"])}
    if isinstance(item.get("settable"), str):
        made["settable"] = item["settable"].lower() in _YES
    if isinstance(item.get("encrypted"), str):
        made["encrypted"] = item["encrypted"].lower() in _YES
    if item.get("defaults") is not None:
        made["defaults"] = str(item["defaults"])
    if isinstance(value, str) and value:  # in a file, encrypted is only what says so itself
        made["encrypted"] = value.startswith(("secure!", "!encrypted "))
    return made


def _lenient(model: type[M], data: Mapping[str, Any]) -> tuple[M, list[str]]:
    """A model without the fields that are invalid, and their names."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        wrong = {str(problem["loc"][0]) for problem in error.errors(include_url=False, include_input=False) if problem["loc"]}
        kept = {name: value for name, value in data.items() if name not in wrong}
        return model.model_validate(kept), sorted(wrong)


@cache
def _shapes(model: type[BaseModel]) -> tuple[frozenset[str], frozenset[str]]:
    """The fields of a model that are texts, and those that are lists of texts."""
    texts, lists = {"pipeline", "action"}, {"after_commands"}
    for name, info in model.model_fields.items():
        options = _options(info.annotation)
        if options == {str}:
            texts.add(name)
        elif any(get_origin(option) is list and get_args(option) == (str,) for option in options):
            lists.add(name)
    return frozenset(texts), frozenset(lists)


def _options(annotation: Any) -> set[Any]:
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {option for part in get_args(annotation) for option in _options(part)} - {type(None)}
    return {annotation}


def _remote(data: Mapping[str, Any]) -> str:
    parts = [
        f"{word} {data[name]}"
        for word, name in (
            ("project", "remote_project_name"),
            ("project", "remote_project"),
            ("branch", "remote_branch"),
            ("ref", "remote_ref"),
            ("file", "remote_path"),
        )
        if isinstance(data.get(name), str)
    ]
    return ", ".join(parts) or "another place"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
