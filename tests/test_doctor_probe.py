"""The pattern that shows whether an avatar is wired up."""

import numpy as np
import pytest

from edge.contract import ARKIT_52, INDEX
from edge.diagnostics.probe import POSES, faces, send_probe


class Sink:
    def __init__(self):
        self.weights = []

    def send(self, frame):
        self.weights.append(frame.weights.copy())


def test_the_probe_shows_five_vowels_and_two_blinks_60_times_a_second_and_ends_at_rest():
    now, messages, sink = [10.0], [], Sink()

    def sleep(seconds):
        now[0] += seconds + 0.0004  # a sleep is always a little too long

    send_probe([sink], messages.append, lambda: now[0], sleep)
    assert messages == ["A", "I", "U", "E", "O", "blink", "blink", "rest"]
    assert (len(sink.weights) - 1) / 60 == pytest.approx(now[0] - 10, abs=0.001)
    assert 5.5 < now[0] - 10 < 6.5
    assert not sink.weights[-1].any()


def test_the_probe_opens_the_mouth_for_a_and_shuts_both_eyes_for_a_blink():
    seen = {name: weights.max() for name, weights in faces() if weights.any()}
    assert set(seen) == {"A", "I", "U", "E", "O", "blink"}
    widest = np.max([weights for name, weights in faces() if name == "A"], axis=0)
    assert widest[INDEX["jawOpen"]] == pytest.approx(0.7, abs=0.01)
    shut = np.max([weights for name, weights in faces() if name == "blink"], axis=0)
    assert [ARKIT_52[i] for i in np.flatnonzero(shut)] == ["eyeBlinkLeft", "eyeBlinkRight"]


def test_the_mouth_is_shut_between_two_poses():
    weights = [weights for _, weights in faces()]
    each = (len(weights) - 1) // len(POSES)
    assert all(weights[i * each].max() < 1e-3 for i in range(len(POSES)))


def test_an_interrupted_probe_leaves_a_neutral_face():
    sink = Sink()

    def sleep(seconds):
        if len(sink.weights) == 20:
            raise KeyboardInterrupt

    send_probe([sink], lambda text: None, lambda: 0.0, sleep)
    assert sink.weights[-2].any()
    assert not sink.weights[-1].any()
