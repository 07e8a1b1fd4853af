"""The status of a running ``edge-run``, for OSC and the preview."""

from __future__ import annotations

from typing import Any

from edge.audio.capture import Source
from edge.contract import FPS
from edge.control.live_settings import LiveSettings
from edge.run_stats import RunStats


def describe(live: LiveSettings, stats: RunStats, source: Source) -> dict[str, Any]:
    """Plain data, read beside the thread that makes faces: a figure may be one face old."""
    p50, p99 = stats.latency_ms()
    face, style = live.pipeline.face, live.pipeline.conditioning.style
    return {
        "bundle": live.bundle.name,
        "hash": live.bundle.hash,
        "faces": stats.faces,
        "rested": stats.rested,
        "latency_ms": {"p50": round(p50, 1), "p99": round(p99, 1)},
        "dropped": source.dropped,
        "lookahead_ms": round(live.pipeline.lookahead * 1000 / FPS),
        "delay": round(live.pipeline.delay, 6),
        "muted": face.muted,
        "neutral": face.neutral,
        "emotion": face.emotion_blend.name,
        "emotion_strength": round(face.emotion_blend.strength, 3),
        "heard": live.pipeline.voice_emotion and live.pipeline.voice_emotion.describe(),
        "style": style and [style[0], round(style[1], 3)],
        "gains": live.gains,
        "outputs": live.outputs.listed(),
        "pending": live.pending,
    }
