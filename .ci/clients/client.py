"""The client that openapi-python-client makes of the document: create, emit, list, rotate, test, replay."""

import sys

from generated import AuthenticatedClient
from generated.api.deliveries import list_deliveries, replay_dead_letters
from generated.api.events import emit_events
from generated.api.subscriptions import (
    create_subscription,
    list_subscriptions,
    read_subscription,
    replace_subscription,
    rotate_secret,
    send_test,
)
from generated.models import (
    BearerAuthentication,
    CallEndedData,
    CallEndedEvent,
    Emitted,
    EventPattern,
    NewEvents,
    Problem,
    Rotate,
    SubscriptionDraft,
    SubscriptionReplacement,
    Test,
)

base, key, endpoint = sys.argv[1:]
client = AuthenticatedClient(base_url=base, token=key)

draft = SubscriptionDraft(
    url=endpoint,
    events=[EventPattern.CALL],
    authentication=BearerAuthentication(type_="bearer", token="mF_9.B5f-4.1JqM"),
)
made = create_subscription.sync(client=client, body=draft, idempotency_key="py-1")
assert made.secret, made
id = made.data.id

event = CallEndedEvent(type_="call.ended", data=CallEndedData(call_id="c-py"))
emitted = emit_events.sync(client=client, body=event)
assert isinstance(emitted, Emitted) and emitted.deliveries >= 1, emitted
several = emit_events.sync(client=client, body=NewEvents(events=[event, event]))
assert len(several.data) == 2, several
refused = emit_events.sync(client=client, body=CallEndedEvent(type_="call.ended", data=CallEndedData(call_id=7)))
assert isinstance(refused, Problem) and refused.field == "data.call_id", refused

listed = list_subscriptions.sync(client=client, limit=200)
assert id in [item.id for item in listed.data], listed
deliveries = list_deliveries.sync(client=client, id=id)
assert len(deliveries.data) == 3, deliveries
rotated = rotate_secret.sync(client=client, id=id, body=Rotate())
assert rotated.secret and rotated.secret != made.secret, rotated
tested = send_test.sync(client=client, id=id, body=Test())
assert tested.data.delivered, tested
replayed = replay_dead_letters.sync(client=client, id=id)
assert replayed.data.replayed == 0, replayed

read = read_subscription.sync(client=client, id=id)
again = SubscriptionReplacement.from_dict(read.data.to_dict())
written = replace_subscription.sync(client=client, id=id, body=again)
assert written.data.to_dict() == read.data.to_dict(), written
print("client.py: create, emit, list, rotate, test, replay, read, write")
