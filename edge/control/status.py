"""What a running ``edge-run`` says about itself to whoever asks over OSC."""

from __future__ import annotations

from typing import Any

from edge.audio.capture import Source
from edge.contract import FPS
from edge.control.live_settings import LiveSettings
from edge.run_stats import RunStats


def describe(live: LiveSettings, score: RunStats, source: Source) -> dict[str, Any]:
    """Plain data, from another thread than the one that makes faces: a figure may be a face old."""
    p50, p99 = score.latency_ms()
    face, style = live.pipeline.face, live.pipeline.conditioning.style
    return {
        "bundle": live.bundle.name,
        "hash": live.bundle.hash,
        "faces": score.faces,
        "rested": score.rested,
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
