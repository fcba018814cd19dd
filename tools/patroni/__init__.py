"""Measures the outage of a failover by Patroni, to stand beside that of the lab's controller."""
