"""
Reading what is to be audited: from connections to export records, in a spool that outlives a crash.

:func:`~airflow_provider.audit.collect.collector.collect` is the async way, which the trigger takes as well;
:func:`~airflow_provider.audit.collect.collector.collected` is all that a script needs.
"""
