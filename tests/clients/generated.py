"""Drives the client that openapi-python-client made from openapi.json, as its users would.

WARDROOM_URL and WARDROOM_KEY say where; the session `default` is WORKING, and 491700002 has written to it.
"""

import importlib
import os
import pkgutil

import wardroom_client
from wardroom_client import AuthenticatedClient
from wardroom_client.api.chats import chats_list, chats_messages
from wardroom_client.api.chatting import chatting_send_text
from wardroom_client.api.sessions import sessions_create, sessions_delete, sessions_get, sessions_list
from wardroom_client.models import CreateSession, SendText

BOB = "491700002@c.us"


def walk(client):
    assert [one.name for one in sessions_list.sync(client=client)] == ["default"]
    assert sessions_get.sync("default", client=client).status == "WORKING"
    assert sessions_get.sync_detailed("nobody", client=client).status_code == 404

    sent = chatting_send_text.sync(client=client, body=SendText(session="default", chat_id=BOB, text="Hi there!"))
    assert sent.from_me and sent.body == "Hi there!" and sent.ack >= 1, sent
    assert BOB in [chat.id for chat in chats_list.sync("default", client=client, limit=10)]
    messages = chats_messages.sync("default", BOB, client=client, limit=10, filter_from_me="true")
    assert [one.id for one in messages] == [sent.id], messages

    assert sessions_create.sync(client=client, body=CreateSession(name="second", start=False)).name == "second"
    assert sessions_delete.sync_detailed("second", client=client).status_code == 200


def main():
    for module in pkgutil.walk_packages(wardroom_client.__path__, "wardroom_client."):
        importlib.import_module(module.name)
    with AuthenticatedClient(
        base_url=os.environ["WARDROOM_URL"], token=os.environ["WARDROOM_KEY"], prefix="", auth_header_name="X-Api-Key"
    ) as client:
        walk(client)


main()
