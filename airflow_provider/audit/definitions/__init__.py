"""
Definitions that are kept in files: ``buddy.yml``, Tracecat's workflows, answers of the APIs.

:func:`~airflow_provider.audit.definitions.inputs.facts_in` reads a file or a folder of any of them.
"""
