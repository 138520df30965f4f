"""
Reading the data to audit: from connections into records, in a spool that survives a crash.

:func:`~airflow_provider.audit.collect.collector.collect` is async and used by the trigger;
:func:`~airflow_provider.audit.collect.collector.collected` is for scripts.
"""
