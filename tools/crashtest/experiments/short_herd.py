"""A hot key expires while the database is slow, just long enough to be interrupted.

The thundering herd with one round of short segments. It proves nothing about the fixes: it only has
every phase of a run, in seconds.
"""

from dataclasses import replace

from chaos.experiments.thundering_herd import experiment as herd
from chaos.model.experiment import Mode

experiment = replace(
    herd,
    name="short-herd",
    lesson=__doc__,
    quick=Mode("quick", rounds=1, segment_s=0.8, events=1, control_s=0.5, rounds_max=1),
)
