"""The commands of ``airflow executions``, where Airflow takes no commands from providers (3.1). See ``--help``."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run a command. A failure ends the process with its exit code.

    :param arguments: by default those of the command line.
    """
    from airflow_provider.cli import parser

    options = parser().parse_args(arguments)
    options.func(options)


if __name__ == "__main__":
    main()
