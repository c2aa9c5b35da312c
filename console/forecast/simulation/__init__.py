"""Monte Carlo simulation of one night on arrays: jobs are numbers, times are seconds. It knows no estate.

`values`: inputs and outputs. `layers` orders the graph, `past_views` models the past of each job, `draws` samples
tonight from it, `sweep` computes every sample, `simulator` runs all of them, `critical_path` computes slack and act-by.
"""
