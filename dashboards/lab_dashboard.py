"""The lab itself: faults in force, the load generator's accuracy, runs and verdicts."""

from chaos.runtimes.topology import PARTS
from dashboards.panel import RATE, Dashboard, Panel, PanelState, Query, Section, p50_and_p99

FAULT = "a fault is in force"
RUN = "a run is in progress"

BROKEN = Section(
    "Injected faults",
    [
        Panel(
            "Faults in force",
            "Count and names. Every anomaly on the other dashboards should lie within one of "
            "these windows or follow from it.",
            "none",
            [
                Query("max(linkstorm_faults_active)", "in force", dashed=True),
                Query("max by (fault) (linkstorm_fault_active)", "{{fault}}", only_while=FAULT),
            ],
        ),
        Panel(
            "Parts",
            "Killed parts are down, stopped ones paused. A paused part keeps its connections and "
            "does not answer, so clients wait for their timeouts.",
            "none",
            [
                Query(
                    'max by (part) (linkstorm_part_up{part=~"$part"}'
                    " * (1 - linkstorm_part_paused) + 2 * linkstorm_part_paused)",
                    "{{part}}",
                )
            ],
            kind="state-timeline",
            states={
                0: PanelState("down", False),
                1: PanelState("up", True),
                2: PanelState("paused", False),
            },
        ),
        Panel(
            "Links",
            "A cut link refuses and breaks every connection. Slowed links stay open: see the "
            "toxics.",
            "none",
            [Query("max by (link) (linkstorm_link_open)", "{{link}}")],
            kind="state-timeline",
            states={0: PanelState("cut", False), 1: PanelState("open", True)},
        ),
        Panel(
            "Toxics on links",
            "Delays, bandwidth limits and the like that Toxiproxy holds now. One that stays "
            "without a fault in force was left behind: heal it.",
            "none",
            [Query("max by (link) (linkstorm_toxics)", "{{link}}")],
        ),
        Panel(
            "Bytes to the parts",
            "Through each link, from the application towards the part behind it. A cut link falls "
            "to zero at once; `replication` is the replica's requests.",
            "Bps",
            [
                Query(
                    "sum by (proxy) (rate("
                    f'toxiproxy_proxy_received_bytes_total{{direction="upstream"}}[{RATE}]))',
                    "{{proxy}}",
                )
            ],
        ),
        Panel(
            "Bytes from the parts",
            "Through each link, the answers. Requests without answers: the part is paused. "
            "`replication` carries the primary's log, so it follows writes.",
            "Bps",
            [
                Query(
                    "sum by (proxy) (rate("
                    f'toxiproxy_proxy_received_bytes_total{{direction="downstream"}}[{RATE}]))',
                    "{{proxy}}",
                )
            ],
        ),
    ],
)

GENERATOR = Section(
    "Load generator accuracy",
    [
        Panel(
            "Dispatch lag",
            "Delay of a request after its intended time. Over 10 ms it counts as late. If this "
            "rises with the rate, the generator is the bottleneck.",
            "s",
            p50_and_p99("linkstorm_dispatch_lag_seconds"),
            limit=0.01,
        ),
        Panel(
            "Late and unsent",
            "Requests a second that left more than 10 ms late, or not at all, as too many were in "
            "flight. A run says which of its claims depend on late ones; unsent ones make it "
            "INVALID.",
            "reqps",
            [
                Query(f"sum(rate(linkstorm_requests_late_total[{RATE}]))", "late"),
                Query(f"sum(rate(linkstorm_requests_unsent_total[{RATE}]))", "unsent"),
            ],
        ),
        Panel(
            "Requests waiting for an answer",
            "At the generator. In open load this grows without bound while the stack answers "
            "more slowly than requests arrive: the area is the visitors' waiting time.",
            "none",
            [Query("sum(linkstorm_requests_in_flight)", "waiting")],
        ),
    ],
)

RUNS = Section(
    "Runs and verdicts",
    [
        Panel(
            "Run in progress",
            "The experiment and its current step. Steps are its arms, one after the other.",
            "none",
            [
                Query("count(linkstorm_run_active) or vector(0)", "runs", dashed=True),
                Query(
                    "max by (experiment, what) (linkstorm_run_active)",
                    "{{experiment}}: {{what}}",
                    only_while=RUN,
                ),
            ],
        ),
        Panel(
            "Newest verdict of each experiment",
            "PASS: every claim held. FAIL: one did not. INVALID: the run proves nothing, as when "
            "the fault had no effect. The report beside the run says why.",
            "none",
            [Query("max by (experiment, verdict) (linkstorm_last_verdict)", "{{experiment}}")],
            kind="table",
        ),
        Panel(
            "Targets that Prometheus can read",
            "1 while the scrape works. At 0 that job's panels are empty, which is not the same as "
            "zero.",
            "none",
            [Query("min by (job) (up)", "{{job}}", every_s=5)],
        ),
    ],
)

dashboard = Dashboard(
    name="lab",
    title="linkstorm: Lab",
    about="Injected faults, the accuracy of the load generator, and the verdicts of runs.",
    parts="linkstorm_part_up",
    part_names=tuple(PARTS),
    sections=[BROKEN, GENERATOR, RUNS],
)
