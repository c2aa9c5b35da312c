"""What the parent of all engines imports last: all that they need. It is shared, and never looked at for garbage."""

import gc

from tests.bench import crash_holds, crash_stores

__all__ = ["crash_holds", "crash_stores"]

gc.collect()
gc.freeze()
