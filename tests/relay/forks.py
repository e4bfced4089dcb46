"""Processes that are made to be killed: forks of one that has imported what they need."""

from __future__ import annotations

import multiprocessing

# What such a process imports late is most of its life. A test process has one server of forks, so
# this is the one list for all tests: a second one would replace it.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "tests.relay.backfill.victim",
        "tests.relay.deliver.victim",
        "tests.relay.receive.variants",
        "tests.relay.sales.victim",
        "tracknow_static.relay.app",
        "tracknow_static.relay.background",
        "tracknow_static.relay.deliver.dispatcher",
        "tracknow_static.relay.health",
        "tracknow_static.relay.store.watch",
        "sqlalchemy.dialects.sqlite.pysqlite",
        "sqlalchemy.dialects.postgresql.psycopg",
        "stripe",
    ]
)
