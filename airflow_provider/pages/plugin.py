"""
The plugin that adds the pages to Airflow: the tab "Execution" of a task instance, and the page "Executions" in the menu Browse.

Every Airflow process imports this module, so it imports nothing but what is there already.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin

from airflow_provider import __version__
from airflow_provider._compat import conf
from airflow_provider.pages.files import serve

PREFIX = "/provider-executions"
"""Where the file is served. Airflow keeps what begins with ``/execution`` for itself."""


def module_url() -> str:
    """Address of the module: below Airflow's own path, if it has one, and anew with each version of this package."""
    return f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}{PREFIX}/executions.js?v={__version__}"


class ExecutionsPlugin(AirflowPlugin):
    """What Airflow reads of the plugin."""

    name = "executions"
    fastapi_apps = [{"app": serve, "url_prefix": PREFIX, "name": "Executions"}]
    react_apps = [
        # The name is that of the global which the module sets, too.
        {"name": "Execution", "bundle_url": module_url(), "destination": "task_instance", "url_route": "execution"},
        {"name": "Executions", "bundle_url": module_url(), "destination": "nav", "category": "browse", "url_route": "executions"},
    ]
