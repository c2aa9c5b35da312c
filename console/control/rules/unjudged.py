"""Where no rule speaks: what cannot be seen is not judged, nor what is worked on."""

from __future__ import annotations

from console.control.maintenance import of_job
from console.control.picture import Picture
from console.control.sight import out_of_sight
from console.model.values import JobFacts


def unjudged(picture: Picture, job: JobFacts) -> str:
    """Why nothing new is found of the job now, and nothing that was found ends; empty where it is judged.

    The one place for it: whatever else lets a job rest belongs here.
    """
    target = picture.estate.targets.get(job.target_id)
    if target is None or target.failing_since is not None or out_of_sight(target, picture.now, picture.estate.settings):
        return "its target does not answer"
    if not picture.estate.declared.maintenance:
        return ""
    found = of_job(picture.estate, job, picture.now)
    return found.words(job.zone) if found is not None else ""
