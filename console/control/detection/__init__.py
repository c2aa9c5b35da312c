"""What is wrong with a job before it is red, or beside that: each rule a small pure function with its reason.

`order.RULES` is the list; `judging.findings` applies it to every job; `telling.causes_of` makes causes of what nothing
else explains. A rule sees one job and that job's own past, nothing else.
"""
