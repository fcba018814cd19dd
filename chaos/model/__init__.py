"""Every noun of the lab: frozen dataclasses and Protocols, no I/O."""
