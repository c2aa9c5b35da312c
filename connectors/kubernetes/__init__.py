"""Kubernetes Jobs and CronJobs, by the cluster's own API."""
