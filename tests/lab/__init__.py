"""The lab: real schedulers, mail and web hooks, started in private folders on free ports and taken down whole.

Nothing of the machine changes: hosts live in namespaces with files of their own, databases and Airflow in temporary
folders, and a guard ends what is left when this process dies, even by SIGKILL. Every part is a class with `start()`
and `stop()`; `estate.Estate` is all of them, for the session fixtures in `conftest.py` and for `python -m tests.lab`.
"""
