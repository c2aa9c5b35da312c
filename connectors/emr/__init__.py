"""Amazon EMR on EC2: the steps of clusters, in one region of one account."""
