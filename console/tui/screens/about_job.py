"""The acts that are about the job under the cursor: how it hangs together with others, what if it went otherwise."""

from __future__ import annotations

from console.tui.screens.marking import Marking


class AboutJob(Marking):
    def name_here(self) -> str:
        """Of what the cursor stands on; empty on nothing."""
        return ""

    def job_here(self) -> str | int:
        """Name or id of the job that `g` and `b` are about; empty where there is none."""
        return self.name_here()

    def why_not_lineage(self) -> str:
        return "" if self.job_here() else "no job is selected"

    def why_not_blast(self) -> str:
        return self.why_not_lineage()

    def do_lineage(self) -> None:
        self._open_lineage(blast=False)

    def do_blast(self) -> None:
        self._open_lineage(blast=True)

    def why_not_what_if(self) -> str:
        return self.why_not_lineage()

    def do_what_if(self) -> None:
        from console.tui.screens.what_if import what_if

        what_if(self, self.job_here())

    def _open_lineage(self, blast: bool) -> None:
        self.board.open_lineage((self.job_here(), blast))
