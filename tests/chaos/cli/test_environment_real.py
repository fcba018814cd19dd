"""A run in the environment of a user who has other things to do, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running_labs import GONE_S, left_after
from tools.crashtest.lab_under_test import lab_home
from tools.crashtest.leftover_watch import watching

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[3]
NOBODY = "http://127.0.0.1:9"

FOREIGN = {
    # proxies and certificates
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), NOBODY),
    **dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), "/no/such/bundle"),
    "NO_PROXY": "example.com",
    "SSLKEYLOGFILE": "/no/such/folder/keys",
    # databases
    "PGSSLMODE": "require",
    "PGHOSTADDR": "127.0.0.9",
    "PGPORT": "1",
    "PGOPTIONS": "-c nonsense=1",
    "PGSERVICE": "work",
    "PGPASSFILE": "/no/such/passwords",
    "PGCLIENTENCODING": "LATIN1",
    "PGCHANNELBINDING": "require",
    "PGTARGETSESSIONATTRS": "standby",
    "PGDATA": "/no/such/data",
    # other load tests
    "LOCUST_RUN_TIME": "5s",
    "LOCUST_TAGS": "none",
    "LOCUST_USERS": "x",
    "LOCUST_HOST": NOBODY,
    "LOCUST_LOCUSTFILE": "/no/such/file.py",
    "LINKSTORM_RECORD": "/no/such/record",
    # the system under test, and what serves and measures it
    "SHORTENER_CACHE_FILL": "by magic",
    "SHORTENER_NO_SUCH_SETTING": "1",
    "WEB_CONCURRENCY": "many",
    "FORWARDED_ALLOW_IPS": "",
    "PROMETHEUS_MULTIPROC_DIR": "/no/such/folder",
    "prometheus_multiproc_dir": "/no/such/folder",
    "OTEL_EXPORTER_OTLP_ENDPOINT": NOBODY,
    "OTEL_TRACES_SAMPLER": "nonsense",
    "NGINX": "3;4;",
    "GEVENT_RESOLVER": "nonsense",
    "GEVENT_LOOP": "nonsense",
    "BOKEH_LOG_LEVEL": "nonsense",
    # Python, and the language of what it says
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONIOENCODING": "latin-1",
    "PYTHONINSPECT": "1",
    "LC_MESSAGES": "de_DE.UTF-8",
    "LANGUAGE": "de",
    "COLUMNS": "0",
}
DOTFILES = {
    ".netrc": "default login somebody password secret\n",
    ".locust.conf": "run-time = 5s\nusers = 7\n",
    "locust.conf": "run-time = 5s\n",
    "pyproject.toml": '[tool.locust]\nrun-time = "5s"\n',
    ".pgpass": "*:*:*:*:secret\n",
    ".pg_service.conf": "[work]\nhost=127.0.0.9\n",
}


def test_a_run_is_the_same_whatever_else_its_user_has_set() -> None:
    with lab_home() as home, watching(home.tmp / "*") as watch:
        for name, content in DOTFILES.items():
            (home.cwd / name).write_text(content)
        with subprocess.Popen(
            [*(sys.executable, "-m", "tools.crashtest.program", "run", "short-herd"),
             *("--arm", "singleflight"),
             *("--runtime", "embedded", "--into", home.run, "--format", "json"),
             *("--set", "PRIMARY_TIMEOUT_S=2.5")],
            cwd=home.cwd,
            env={
                **os.environ, **FOREIGN, "PYTHONPATH": str(ROOT), "HOME": str(home.cwd),
                "TMPDIR": os.path.relpath(home.tmp, home.cwd),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:  # fmt: skip
            watch.wait_for(process.pid)
            stdout, stderr = process.communicate()
        result = json.loads(stdout)
        assert stderr == ""
        assert result["trouble"] is None
        assert process.returncode == {"PASS": 0, "INVALID": 3}[result["verdict"]]  # it is short
        generator = result["generator"]
        assert generator["sent"] == generator["offered"] > 0
        for arm in result["arms"]:
            clicks = arm["ledgers"]["clicks"]
            assert (clicks["lost"], clicks["duplicated"], clicks["unexpected"]) == (0, 0, 0)
        assert '"finished"' in (home.run / "events.jsonl").read_text()
        assert not left_after(watch, GONE_S)
