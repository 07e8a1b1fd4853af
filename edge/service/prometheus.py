"""Score and source to a page for Prometheus, on loopback: ``metrics: PORT`` in edge.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from edge.contract import ConfigError, MissingError
from edge.service.status_line import AudioCounts, FaceCounts, drops, send_failures

ADDRESS = "127.0.0.1"


class MetricsPage:
    """A web server in a thread of its own. It only reads counters, and only when asked."""

    def __init__(self, port: int, score: FaceCounts, source: AudioCounts) -> None:
        """``port`` 0 lets the system choose; ``self.port`` says which it was."""
        try:
            import prometheus_client as prometheus
        except ImportError as error:
            raise MissingError(
                "metrics need prometheus_client: pip install 'edgetalk[metrics]', or leave "
                "'metrics' out of the configuration"
            ) from error
        self._families = prometheus.metrics_core
        self._score, self._source = score, source
        registry = prometheus.CollectorRegistry()
        registry.register(self)
        prometheus.ProcessCollector(registry=registry)  # memory, CPU, files, start time
        try:
            self._server, self._thread = prometheus.start_http_server(port, ADDRESS, registry)
        except OSError as error:
            raise MissingError(
                f"metrics: port {port} cannot be opened ({error.strerror}); choose another"
            ) from error
        except OverflowError as error:
            raise ConfigError(f"metrics: {port} is no port; choose 1024 to 65535") from error
        self.port: int = self._server.server_port

    def collect(self) -> Iterator[Any]:
        """One scrape; everything under it is read without a lock, as whole numbers change whole."""
        score, source = self._score, self._source
        counter, gauge = self._families.CounterMetricFamily, self._families.GaugeMetricFamily
        yield labelled(
            counter("edgetalk_faces", "Faces sent.", labels=["kind"]),
            {"speech": score.faces, "rest": score.rested},
        )
        yield labelled(
            counter("edgetalk_dropped", "Faces or audio blocks dropped.", labels=["reason"]),
            drops(score, source),
        )
        yield labelled(
            counter("edgetalk_send_failures", "Datagrams the system refused.", labels=["to"]),
            send_failures(score),
        )
        p50, p99 = (ms / 1000 for ms in score.latency_ms())
        yield labelled(
            gauge("edgetalk_latency_quantile_seconds", "In the last minute.", labels=["quantile"]),
            {"0.5": p50, "0.99": p99},
        )
        if histogram := getattr(score, "histogram", None):
            bounds, counts, total = histogram()
            le = [*map(str, bounds), "+Inf"]
            buckets = list(zip(le, accumulate(counts), strict=True))
            yield self._families.HistogramMetricFamily(
                "edgetalk_latency_seconds", "Capture to packet.", buckets, total
            )
        state = str(getattr(source, "state", "")) or "unknown"
        yield labelled(
            gauge("edgetalk_microphone", "1 for the state it is in.", labels=["state"]), {state: 1}
        )
        yield counter(
            "edgetalk_reconnects", "Microphone reopened.", getattr(source, "reconnects", 0)
        )

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def labelled(family: Any, values: Mapping[str, float]) -> Any:
    """A family with one sample per label value."""
    for label, value in values.items():
        family.add_metric([label], value)
    return family
