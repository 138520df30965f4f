"""``make bench``: all benchmarks, one after the other. They print; nothing is asserted."""

from __future__ import annotations

from tests.benchmarks import audits, event_loop, gaps, log_file, memory, parse, storm, waits, worker_starts

parse.main()
log_file.main()
waits.main()
memory.main()
event_loop.main()
storm.main()
worker_starts.main()
gaps.main()
audits.main()
