"""One night, many times over, on arrays: jobs are numbers, times are seconds. Nothing here knows the estate.

`values` is what goes in and comes out, `look` the way through: `layers` orders the graph, `views` reads the past of
each job (`recency`, `run_factor`, `prior`, `stand_ins`, `columns`), `sweep` computes every sample, `outcome`, `slack`
and `critical_path` read what it says of one service, `restart` until when what is broken can wait."""
