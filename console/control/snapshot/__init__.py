"""The estate as one evaluation sees it: index, graph, freshness, pools, deadlines."""
