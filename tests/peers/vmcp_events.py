"""Print what vmcp makes of VMC on PORT until a RelativeTimeEvent. vmcp is under the AGPL."""

import json
import sys

from vmcp.events import BlendShapeApplyEvent, BlendShapeEvent, RelativeTimeEvent, StateEvent
from vmcp.facades import on_receive
from vmcp.osc import OSC
from vmcp.osc.backend.osc4py3 import as_eventloop as backend

seen = []


def received(event):
    more = (event.key, event.value) if isinstance(event, BlendShapeEvent) else ()
    seen.append(type(event).__name__)
    print(json.dumps([seen[-1], *more]), flush=True)


osc = OSC(backend)
with osc.open():
    receiver = osc.create_receiver("127.0.0.1", int(sys.argv[1]), "receiver").open()
    for kind in (BlendShapeEvent, BlendShapeApplyEvent, StateEvent, RelativeTimeEvent):
        on_receive(receiver, kind, received)
    while "RelativeTimeEvent" not in seen:
        osc.run()
