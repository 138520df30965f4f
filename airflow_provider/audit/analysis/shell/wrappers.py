"""Programs that run the command behind them: ``sudo -u app curl x``, ``poetry run curl x``, ``nix develop -c curl x``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Wrapper:
    """
    How the command of a wrapper is found.

    :param valued: its short options that take a value.
    :param long: its long options whose value is the next word.
    :param words: its subcommands that run a command; none if it has no subcommands.
    :param behind: words behind one of which the command is; none if it follows the options.
    :param before: number of arguments before the command.
    :param assigns: whether variables may be set before the command.
    :param numbers: whether numbers may stand before the command.
    :param programs: whether it runs a package too, whose address is no command.
    """

    valued: str = ""
    long: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    behind: frozenset[str] = frozenset()
    before: int = 0
    assigns: bool = False
    numbers: bool = False
    programs: bool = False


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_USER = _set("--user --group --host --prompt --chdir --unset --signal --kill-after --adjustment --max-args")
_PYTHON = _set(
    "--python --with --with-requirements --with-editable --extra --group --only-group --package --project --directory --env-file"
    " --index --index-url --default-index --allow-insecure-host --env --from"
)
_RUN, _EXEC, _DASHES = _set("run"), _set("exec"), _set("--")

WRAPPERS = {
    "sudo": Wrapper("ugphCDRT", _USER, assigns=True),
    "doas": Wrapper("uC", _USER, assigns=True),
    "env": Wrapper("uC", _USER, assigns=True),
    **dict.fromkeys(_set("cross-env cross-env-shell"), Wrapper(assigns=True)),
    **dict.fromkeys(
        _set(
            "nohup command builtin busybox setsid coproc unbuffer fakechroot torsocks torify tsocks winpty chronic pkexec tini dumb-init"
            " eatmydata dbus-run-session steam-run with-contenv linux32 linux64"
        ),
        Wrapper(),
    ),
    "time": Wrapper("of", _USER),
    "timeout": Wrapper("sk", _USER, before=1),
    "nice": Wrapper("n", _USER),
    "ionice": Wrapper("cn"),
    "chrt": Wrapper("TPD", before=1),
    "taskset": Wrapper(before=1),
    "stdbuf": Wrapper("ioe"),
    "exec": Wrapper("a"),
    "xargs": Wrapper("ILnPdEsa", _USER),
    **dict.fromkeys(_set("gosu su-exec s6-setuidgid setuidgid envdir envchain"), Wrapper(before=1)),
    "chroot": Wrapper(before=1),
    "flock": Wrapper("wE", _set("--timeout --wait --conflict-exit-code"), before=1),
    "systemd-run": Wrapper("pEMHt", _set("--property --setenv --unit --uid --gid --slice --description --working-directory --machine")),
    "systemd-cat": Wrapper("tp"),
    "strace": Wrapper("oepsuEaIOSPX"),
    "ltrace": Wrapper("oepsuaFln"),
    "xvfb-run": Wrapper("efnpsw", _set("--error-file --auth-file --server-num --xauth-protocol --server-args --wait")),
    "fakeroot": Wrapper("lsib", _set("--lib --faked")),
    **dict.fromkeys(_set("proxychains proxychains4"), Wrapper("f")),
    "wsl": Wrapper("du", _set("--distribution --user --cd --shell-type")),
    "retry": Wrapper("tdnmsi", _set("--times --delay --tries --attempts --max --sleep --interval"), numbers=True),
    # Programs of a language's environment
    **dict.fromkeys(_set("poetry pipenv pdm rye hatch uv pixi"), Wrapper("pPCe", _PYTHON, _RUN, programs=True)),
    **dict.fromkeys(_set("conda mamba micromamba"), Wrapper("np", _set("--name --prefix --cwd"), _RUN)),
    "uvx": Wrapper("p", _PYTHON, programs=True),
    "pipx": Wrapper(long=_set("--spec --python --index-url"), words=_RUN, programs=True),
    **dict.fromkeys(_set("bundle rbenv pyenv nodenv goenv jenv asdf"), Wrapper(words=_EXEC)),
    "nvm": Wrapper(words=_EXEC, before=1),
    "fnm": Wrapper(long=_set("--using"), words=_EXEC),
    "volta": Wrapper(long=_set("--node --npm --yarn"), words=_RUN),
    "rvm": Wrapper(behind=_set("do")),
    **dict.fromkeys(_set("mise rtx"), Wrapper(words=_set("exec x"), behind=_DASHES)),
    **dict.fromkeys(_set("npx pnpx bunx"), Wrapper("pw", _set("--package --workspace"), programs=True)),
    **dict.fromkeys(
        _set("npm pnpm yarn lerna"), Wrapper("pwC", _set("--package --workspace --filter --dir"), _set("exec dlx"), programs=True)
    ),
    # Environments that a file describes
    "nix": Wrapper(words=_set("develop shell"), behind=_set("-c --command")),
    **dict.fromkeys(_set("guix flox devenv"), Wrapper(words=_set("shell environment activate"), behind=_DASHES)),
    "devbox": Wrapper("ce", _set("--config --env --env-file"), _RUN),
    "direnv": Wrapper(words=_EXEC, before=1),
    # Programs that pass secrets to another one
    "dotenv": Wrapper("efvcop", behind=_set("-- run")),
    "dotenvx": Wrapper("fe", _set("--env-file --env --env-keys-file"), _RUN),
    **dict.fromkeys(_set("doppler op infisical teller bws phase secrethub"), Wrapper(words=_RUN, behind=_DASHES)),
    **dict.fromkeys(_set("chamber berglas vals saml2aws aws-okta"), Wrapper(words=_EXEC, behind=_DASHES)),
    "aws-vault": Wrapper("dnt", _set("--duration --region --mfa-token --prompt --backend"), _EXEC, before=1),
    "summon": Wrapper("feDp", _set("--environment --up --provider")),
    "railway": Wrapper("se", _set("--service --environment"), _RUN),
    # Programs that wait for something first
    **dict.fromkeys(_set("wait-for-it wait-for-it.sh wait-for wait-for.sh"), Wrapper(behind=_DASHES)),
    "dockerize": Wrapper(long=_set("-wait -timeout -template -stdout -stderr -wait-retry-interval")),
}
"""Commands that run another command."""
JOINED = {
    **dict.fromkeys(_set("heroku scalingo"), Wrapper("arse", _set("--app --remote --size --env --type"), _set("run run:detached"))),
    "dokku": Wrapper("e", _set("--env"), _set("run run:detached"), before=1),
    "tsh": Wrapper("liLo", _set("--proxy --user --login --cluster"), _set("ssh"), before=1),
    "docker-machine": Wrapper(words=_set("ssh"), before=1),
    "multipass": Wrapper("d", _set("--working-directory"), _EXEC, before=1),
    "limactl": Wrapper(long=_set("--shell --workdir"), words=_set("shell"), before=1),
    "plink": Wrapper("Ppwilm", _set("-pw -hostkey -proxycmd"), before=1),
    **dict.fromkeys(_set("ssh autossh"), Wrapper("bBcDEeFIiJLlmMOopPQRSWw", before=1)),
    "watch": Wrapper("n"),
    "parallel": Wrapper(
        "jnNLISPadC", _set("--jobs --max-args --delay --timeout --joblog --colsep --retries --sshlogin --workdir --results")
    ),
}
"""The same for commands whose words a shell reads, as one text."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?[smhd]?")


def behind_wrapper(texts: Sequence[str], start: int, wrapper: Wrapper) -> int | None:
    """Where the command of the wrapper at ``start`` begins; None if it runs none."""
    position = start + 1
    if wrapper.words:
        position = _behind_options(texts, position, wrapper)
        if position >= len(texts) or texts[position] not in wrapper.words:
            return None
        position += 1
    if wrapper.behind:
        position = next((place for place in range(position, len(texts)) if texts[place] in wrapper.behind), len(texts)) + 1
    position = _behind_options(texts, position, wrapper) + wrapper.before
    while wrapper.numbers and position < len(texts) and _NUMBER.fullmatch(texts[position]):
        position += 1
    if (wrapper.before or wrapper.numbers) and position < len(texts) and texts[position] == "--":
        position += 1
    if position >= len(texts) or (wrapper.programs and (":" in texts[position] or _names_package(texts[start:position]))):
        return None
    return position


def _names_package(options: Sequence[str]) -> bool:
    """Whether a package is given by its address, so that the wrapper itself is what matters: ``npx -p https://... name``."""
    return any(option in ("-p", "--package", "--from") and "://" in value for option, value in pairwise(options))


def _behind_options(texts: Sequence[str], position: int, wrapper: Wrapper) -> int:
    while position < len(texts):
        text = texts[position]
        if text == "--":
            return position + 1
        if text.startswith("-"):
            position += 2 if (len(text) == 2 and text[1] in wrapper.valued) or text in wrapper.long else 1
        elif wrapper.assigns and "=" in text:
            position += 1
        else:
            break
    return position
