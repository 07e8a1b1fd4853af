"""The page that Prometheus reads."""

import socket
import sys
import urllib.request

import pytest

from edge.contract import ConfigError, MissingError
from edge.service.prometheus import MetricsPage


class Stats:
    faces, rested, dropped = 120, 30, {"late": 2}

    def latency_ms(self):
        return 7.0, 9.5

    def histogram(self):
        return (0.005, 0.025), (100, 19, 1), 0.84


class Source:
    dropped, state, reconnects = 4, "listening", 3


class Bare:
    """The least that stats and a source may be."""

    faces = rested = 0

    def latency_ms(self):
        return 0.0, 0.0


@pytest.fixture
def scrape():
    pytest.importorskip(
        "prometheus_client", reason="THE METRICS WERE NOT TRIED: no prometheus_client"
    )
    opened = []

    def scrape(stats, source):
        opened.append(MetricsPage(0, stats, source))
        url = f"http://127.0.0.1:{opened[-1].port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    yield scrape
    for metrics in opened:
        metrics.close()


def test_a_scrape_shows_faces_drops_latency_and_the_microphone(scrape):
    page = scrape(Stats(), Source())
    expected = {
        'edgetalk_faces_total{kind="speech"}': 120,
        'edgetalk_faces_total{kind="rest"}': 30,
        'edgetalk_dropped_total{reason="late"}': 2,
        'edgetalk_dropped_total{reason="audio"}': 4,
        'edgetalk_latency_quantile_seconds{quantile="0.99"}': 0.0095,
        'edgetalk_latency_seconds_bucket{le="0.005"}': 100,
        'edgetalk_latency_seconds_bucket{le="0.025"}': 119,
        'edgetalk_latency_seconds_bucket{le="+Inf"}': 120,
        "edgetalk_latency_seconds_count": 120,
        "edgetalk_latency_seconds_sum": 0.84,
        'edgetalk_microphone{state="listening"}': 1,
        "edgetalk_reconnects_total": 3,
    }
    assert {name: float(page[name]) for name in expected} == expected
    assert 10e6 < float(page["process_resident_memory_bytes"]) < 10e9


def test_refused_datagrams_are_shown_by_output(scrape):
    class Failing(Stats):
        def send_failures(self):
            return {"vmc://a?fps=30": 7, "json://b": 0}

    page = scrape(Failing(), Source())
    assert float(page['edgetalk_send_failures_total{to="vmc://a?fps=30"}']) == 7
    assert float(page['edgetalk_send_failures_total{to="json://b"}']) == 0


def test_stats_without_extras_have_a_page_too(scrape):
    class Silent:
        dropped = 0

    page = scrape(Bare(), Silent())
    assert float(page['edgetalk_faces_total{kind="speech"}']) == 0
    assert float(page['edgetalk_microphone{state="unknown"}']) == 1


def test_each_scrape_reads_the_counters_anew(scrape):
    stats = Stats()
    stats.faces = 1
    assert float(scrape(stats, Source())['edgetalk_faces_total{kind="speech"}']) == 1
    stats.faces = 2
    assert float(scrape(stats, Source())['edgetalk_faces_total{kind="speech"}']) == 2


def test_the_page_is_closed_to_other_machines(scrape):
    scrape(Stats(), Source())
    metrics = MetricsPage(0, Stats(), Source())
    assert metrics._server.server_address[0] == "127.0.0.1"
    metrics.close()


def test_a_taken_port_is_named():
    pytest.importorskip("prometheus_client")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(MissingError, match=f"port {port} cannot be opened"):
            MetricsPage(port, Stats(), Source())


def test_an_impossible_port_is_an_error_of_the_configuration():
    pytest.importorskip("prometheus_client")
    with pytest.raises(ConfigError, match="70000 is no port"):
        MetricsPage(70000, Stats(), Source())


def test_a_missing_client_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingError, match=r"pip install 'edgetalk\[metrics\]'"):
        MetricsPage(0, Stats(), Source())
