"""What sources without a web server do not send, for `unplayed` and `elsewhere` of their worlds."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.sdk.conformance.faults import ANY_STATUS, BUSY, BUSY_7, ENDLESS, LOGIN_PAGE, SHUFFLED, TRUNCATED

NO_WEB = "a shell answers commands over SSH without HTTP replies"
NO_WIRE = "a database driver returns whole rows or an error"
CROWDS = "tests/lab/test_crowds.py"
"""40,000 runs of those kinds for which they cost too much for `make test-all`."""
OF_SSH = "tests/connectors/sdk/transport/test_ssh.py"
OF_POSTGRES = "tests/connectors/sdk/transport/test_sql.py"
OF_MYSQL = "tests/connectors/mysql_events/test_session.py"

ITS_ORDER = "log lines are always in the order of writing"
SORTED = "each query sorts its rows"
UNSENT_OVER_SSH: Mapping[str, str] = dict.fromkeys((LOGIN_PAGE, BUSY, BUSY_7), NO_WEB)
UNSENT_IN_A_LOG: Mapping[str, str] = {**UNSENT_OVER_SSH, SHUFFLED: ITS_ORDER}
ELSEWHERE_OVER_SSH: Mapping[str, str] = dict.fromkeys((ANY_STATUS, ENDLESS), OF_SSH)
"""Each failure of SSH is sorted there, and a flood is cut."""
UNSENT_BY_A_DRIVER: Mapping[str, str] = dict.fromkeys((LOGIN_PAGE, TRUNCATED, BUSY_7, ENDLESS), NO_WIRE) | {
    SHUFFLED: SORTED
}
ELSEWHERE_OF_POSTGRES: Mapping[str, str] = dict.fromkeys((ANY_STATUS, BUSY), OF_POSTGRES)
"""Each SQLSTATE is sorted there, "too many connections" as well."""
ELSEWHERE_OF_MYSQL: Mapping[str, str] = dict.fromkeys((ANY_STATUS, BUSY), OF_MYSQL)
