"""Failover: a controller that promotes the replica, and a watchdog that demotes a lone primary."""
