"""What the parent of all engines imports last: all that they need, and all of `crash`, which each of them
runs once more. It is shared, and excluded from garbage collection."""

import argparse
import concurrent.futures.thread
import gc
import tempfile

from tests.bench import crash_holds, crash_report, crash_stores, ending

__all__ = ["argparse", "concurrent", "crash_holds", "crash_report", "crash_stores", "ending", "tempfile"]

gc.collect()
gc.freeze()
