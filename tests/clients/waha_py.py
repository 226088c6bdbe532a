"""Drives the WAHA client library `waha-py`, unmodified, against a Wardroom server, as its users would.

WARDROOM_URL and WARDROOM_KEY say where; the session `default` is WORKING, and 491700002 has written to it.
"""

import os

import httpx
from waha import WahaClient

BOB = "491700002@c.us"
PICTURE = {"mimetype": "image/jpeg", "filename": "a.jpg", "data": "/9j/4AAQSkZJRg=="}


def walk(client):
    assert client.ping.ping() == {"message": "pong"}
    assert client.version.get()["engine"] == "WEBJS"
    assert [one["name"] for one in client.sessions.list()] == ["default"]
    assert client.sessions.get("default")["status"] == "WORKING"
    assert client.sessions.get_me("default")["id"] == "491700001@c.us"

    sent = client.chatting.send_text({"session": "default", "chatId": BOB, "text": "Hi there!"})
    assert sent["fromMe"] and sent["body"] == "Hi there!" and sent["ack"] >= 1, sent
    client.chatting.set_reaction({"session": "default", "messageId": sent["id"], "reaction": "👍"})
    client.chats.edit_message("default", BOB, sent["id"], {"text": "Hello!"})
    shown = client.chatting.send_image({"session": "default", "chatId": BOB, "file": PICTURE, "caption": "look"})
    assert shown["hasMedia"] and shown["media"]["mimetype"] == "image/jpeg", shown
    client.chatting.send_poll(
        {"session": "default", "chatId": BOB, "poll": {"name": "Lunch?", "options": ["Yes", "No"], "multipleAnswers": False}}
    )
    client.chatting.start_typing({"session": "default", "chatId": BOB})
    client.chatting.stop_typing({"session": "default", "chatId": BOB})
    client.chatting.send_seen({"session": "default", "chatId": BOB})

    assert BOB in [chat["id"] for chat in client.chats.get_chats("default", params={"limit": 10})]
    assert client.chats.get_chats_overview("default")[0]["lastMessage"]["id"]
    messages = client.chats.get_chat_messages("default", BOB, params={"limit": 10, "downloadMedia": False})
    assert [one["body"] for one in messages if one["id"] == sent["id"]] == ["Hello!"], messages
    assert client.chats.read_chat_messages("default", BOB)["ids"] == []

    assert client.contacts.check_exists(params={"phone": "491700002", "session": "default"}) == {
        "numberExists": True,
        "chatId": BOB,
    }
    assert BOB in [one["id"] for one in client.contacts.get_all(params={"session": "default"})]
    assert client.contacts_session.get("default", BOB)["pushname"] == "Bob"
    assert BOB in [pair["pn"] for pair in client.lids.get_all("default")]
    assert client.profile.get_my_profile("default")["id"] == "491700001@c.us"
    client.presence.set_presence("default", {"presence": "online"})
    assert client.presence.get_presence("default", BOB)["presences"][0]["lastKnownPresence"]

    group = client.groups.create_group("default", {"name": "Crew", "participants": [{"id": BOB}]})
    assert [one["id"] for one in client.groups.get_groups("default")] == [group["id"]]
    assert client.groups.set_subject("default", group["id"], {"subject": "Watch"}) is True
    assert len(client.groups.get_group_participants("default", group["id"])) == 2
    assert client.groups.get_invite_code("default", group["id"])
    client.groups.leave_group("default", group["id"])

    label = client.labels.create("default", {"name": "New", "color": 1})
    client.labels.put_chat_labels("default", BOB, {"labels": [{"id": label["id"]}]})
    assert client.labels.get_chat_labels("default", BOB) == [label]

    key = client.api_keys.create({"isAdmin": False, "session": "default", "isActive": True})
    assert key["key"]
    client.api_keys.delete(key["id"])

    assert client.status.send_text_status("default", {"text": "Hello"})["body"] == "Hello"

    try:
        client.status.send_voice_status("default", {"file": {"mimetype": "audio/ogg", "data": "T2dnUw=="}})
        raise AssertionError("a voice was shown")
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 422, error


if __name__ == "__main__":
    client = WahaClient(base_url=os.environ["WARDROOM_URL"], api_key=os.environ["WARDROOM_KEY"])
    walk(client)
    client.close()
