//! The dashboard as a person uses it: in a real browser, by keyboard too, on a narrow screen and in the dark.

use crate::person::{ELSEWHERE, Person};
use serde_json::json;
use wardroom_load::house::{House, KEY, PASSWORD, SOON, until};
use wardroom_load::receiver::{Manners, Receiver};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_links_a_phone_and_tries_a_message() {
    let house = House::start().await;
    house.network.phone("491700001", "Ada Lovelace").await;
    house.network.phone("491700002", "Charles Babbage").await;
    let person = Person::at(&format!("http://127.0.0.1:{}/", house.http)).await;
    person.look(1200, false).await;

    person.fill("#key", "wrong").await;
    person.press("#key", "Enter").await;
    person.says("#sign-in-problem", "not known").await;
    person.page.evaluate("document.getElementById('key').value = ''").await.unwrap();
    person.fill("#key", KEY).await;
    person.press("#key", "Enter").await;
    person.sees("!document.getElementById('house').hidden").await;
    person.sees("document.cookie === '' && !location.href.includes('key')").await;
    person.sees("Object.keys(localStorage).length === 0").await;

    person.fill("#name", "front-desk").await;
    person.page.evaluate("document.getElementById('network').value = 'simulator'").await.unwrap();
    person.press("#name", "Enter").await;
    person.sees("!document.getElementById('qr').hidden && document.getElementById('qr').naturalWidth > 100").await;
    person.says("#session-status", "SCAN QR CODE").await;
    person.picture("link").await;
    let first = house.qr("front-desk").await;
    house.network.ask("POST", "/api/phones/491700001/scan", Some(serde_json::json!({"qr": first}))).await.ok();
    person.says("#session-status", "WORKING").await;
    person.says("#session-account", "491700001").await;

    house.network.send("491700002", "491700001", "Is the room on the first floor still free?").await;
    person.says("#chats", "Charles Babbage").await;
    person.find("#chats button").await.click().await.unwrap();
    person.says("#messages", "Is the room on the first floor still free?").await;
    person.fill("#text", "It is. Shall I keep it for you?").await;
    person.press("#text", "Enter").await;
    person.says("#messages", "Shall I keep it for you?").await;
    person.says("#messages", "✓✓").await;
    let shown = house.network.messages("491700002").await;
    assert_eq!(shown.last().unwrap()["text"], "It is. Shall I keep it for you?");
    person.picture("chat").await;
    person.look(1200, true).await;
    person.picture("chat-dark").await;

    person.look(360, true).await;
    person.fits().await;
    person.picture("narrow-dark").await;

    // The supervision tree, live: a killed browser shows without a reload.
    person.look(1200, false).await;
    person.find("#show-supervision").await.click().await.unwrap();
    person.says("#tree", "front-desk").await;
    person.says("#node", "Node healthy").await;
    person.says("#tree .facts", "cores").await;
    person
        .sees("!!document.querySelector('#plot-messages canvas') && !!document.querySelector('#plot-times canvas')")
        .await;
    person.sees("document.getElementById('plot-messages').getAttribute('aria-label').startsWith('Received')").await;
    for pid in house.browsers() {
        let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    }
    person.says("#tree .steps", "ended: crashed").await;
    person.says("#tree .steps", "started again after crashed").await;
    person.says("#tree", "WORKING").await;
    person.find("#tree summary").await.click().await.unwrap();
    person.says("#tree .facts", "cores").await;
    person.picture("supervision").await;
    person.look(360, true).await;
    person.fits().await;
    person.picture("supervision-narrow-dark").await;
    person.find("#show-supervision").await.click().await.unwrap();
    person.look(360, false).await;
    person.find("#back").await.click().await.unwrap();
    person.sees("document.getElementById('session').hidden").await;
    person.fits().await;
    person.picture("narrow").await;

    // By keyboard alone: everything that can be done has a focus of its own.
    person.find("#sessions button").await.focus().await.unwrap().press_key("Enter").await.unwrap();
    person.sees("!document.getElementById('session').hidden").await;
    let stop = person.find("[data-act=stop]").await;
    stop.focus().await.unwrap().press_key("Enter").await.unwrap();
    person.says("#session-status", "STOPPED").await;
    person.find("[data-act=delete]").await.focus().await.unwrap().press_key("Enter").await.unwrap();
    person.sees("document.getElementById('sure').open && document.activeElement.value === 'no'").await;
    person.find("#sure button[value=yes]").await.click().await.unwrap();
    person.sees("document.querySelectorAll('#sessions button').length === 0").await;
    person.find("#sign-out").await.click().await.unwrap();
    // Whoever sits down next finds nothing of it.
    person
        .sees("!document.getElementById('sign-in').hidden && !document.body.textContent.includes('Is the room')")
        .await;
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_renew_themselves_and_a_pairing_code_works() {
    let short = [("WARDROOM__LOGIN__QR_FIRST_MS", "3000"), ("WARDROOM__LOGIN__QR_NEXT_MS", "3000")];
    let house = House::with(&short, &["--qr-first-ms", "3000", "--qr-next-ms", "3000"]).await;
    house.network.phone("491700001", "Ada").await;
    house.create("desk").await;
    let person = Person::at(&format!("http://127.0.0.1:{}/", house.http)).await;
    person.look(1200, false).await;
    person.fill("#key", KEY).await;
    person.press("#key", "Enter").await;
    person.find("#sessions button").await.click().await.unwrap();
    person
        .sees(
            "!document.getElementById('qr').hidden && (window.before = document.getElementById('qr').src).length > 100",
        )
        .await;
    person.sees("document.getElementById('qr').src !== window.before").await;
    person.says("#qr-life", "A new code comes in").await;
    person.fill("#phone", "491700001").await;
    person.press("#phone", "Enter").await;
    person.sees("/^[0-9A-Z]{4}-[0-9A-Z]{4}$/.test(document.getElementById('pair-code').value)").await;
    let code = person.page.evaluate("document.getElementById('pair-code').value").await.unwrap();
    let code: String = code.into_value().unwrap();
    house.network.ask("POST", "/api/phones/491700001/pair", Some(serde_json::json!({"code": code}))).await.ok();
    person.says("#session-status", "WORKING").await;
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sends_a_picture_edits_a_webhook_replays_a_letter_and_revokes_a_key() {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("desk", "491700001").await;
    house.network.send("491700002", "491700001", "hello").await;
    let receiver = Receiver::open(0).await;
    let person = Person::at(&format!("http://127.0.0.1:{}/", house.http)).await;
    person.look(1200, false).await;
    person.fill("#key", KEY).await;
    person.press("#key", "Enter").await;
    person.find("#sessions button").await.click().await.unwrap();
    person.says("#chats", "Bob").await;
    person.find("#chats button").await.click().await.unwrap();
    // A file is chosen by hand; what the dialog would give is put in here.
    let choose = "(() => { const bytes = Uint8Array.from(atob('/9j/4AAQSkZJRg=='), (one) => one.charCodeAt(0)); \
                  const files = new DataTransfer(); files.items.add(new File([bytes], 'a.jpg', { type: 'image/jpeg' })); \
                  document.getElementById('file').files = files.files; return true; })()";
    person.page.evaluate(choose).await.unwrap();
    person.find("#send-file button").await.click().await.unwrap();
    person.sees("!!document.querySelector('#messages img')").await;
    assert_eq!(house.network.messages("491700002").await.last().unwrap()["type"], "image");
    person.picture("picture").await;

    person.find("#hooks-view summary").await.click().await.unwrap();
    person.fill("#hook-url", &receiver.url()).await;
    person.fill("#hook-events", "message").await;
    person.press("#hook-events", "Enter").await;
    person.find("#sure button[value=yes]").await.click().await.unwrap();
    person.says("#hooks", &receiver.url()).await;
    person.says("#session-status", "WORKING").await;
    // What the form does not know stays as it is.
    let hook = json!({"url": receiver.url(), "events": ["message"],
        "retries": {"policy": "constant", "delaySeconds": 1, "attempts": 1}});
    let config = json!({"config": {"network": "simulator", "webhooks": [hook.clone()]}});
    house.ask("PUT", "/api/sessions/desk", Some(config)).await.ok();
    person.find("#hooks button").await.click().await.unwrap();
    person.sees("document.getElementById('hook-events').value === 'message'").await;
    person.fill("#hook-headers", "X-Desk: one").await;
    person.fill("#hook-events", ", message.ack").await;
    person.press("#hook-events", "Enter").await;
    person.find("#sure button[value=yes]").await.click().await.unwrap();
    person.says("#hooks", "message, message.ack").await;
    let kept = house.get("/api/sessions/desk").await["config"]["webhooks"][0].clone();
    assert_eq!(kept["customHeaders"], json!([{"name": "X-Desk", "value": "one"}]));
    assert_eq!(kept["retries"], hook["retries"]);
    person.find("#hooks button").await.click().await.unwrap();
    house.is("desk", "WORKING").await;
    person.find("#hook-test").await.click().await.unwrap();
    person.says("#hook-tested", "Taken after").await;
    let told = receiver.heard().pop().unwrap().json();
    assert_eq!((&told["event"], &told["payload"]["status"]), (&json!("session.status"), &json!("WORKING")));
    receiver.behave(Manners::Answer(500));
    person.find("#hook-test").await.click().await.unwrap();
    person.says("#hook-tested", "Not taken: http_500").await;
    receiver.behave(Manners::Kind);
    person.picture("webhooks").await;
    house.is("desk", "WORKING").await;

    person.find("#stream-view summary").await.click().await.unwrap();
    house.network.send("491700002", "491700001", "seen as it happens").await;
    person.says("#stream", "seen as it happens").await;
    person.find("#settings-view summary").await.click().await.unwrap();
    person.sees("!document.getElementById('settings-save').disabled").await;
    person.find("#ignore-groups").await.click().await.unwrap();
    person.find("#metadata").await.click().await.unwrap().type_str("desk: one").await.unwrap();
    person.picture("settings").await;
    person.find("#settings > button").await.click().await.unwrap();
    person.find("#sure button[value=yes]").await.click().await.unwrap();
    until("the settings are kept", SOON, || async {
        let config = house.get("/api/sessions/desk").await["config"].clone();
        let set = config["ignore"]["groups"] == true && config["metadata"] == json!({"desk": "one"});
        (set && config["webhooks"][0]["url"] == receiver.url()).then_some(())
    })
    .await;
    house.is("desk", "WORKING").await;

    receiver.behave(Manners::Answer(410));
    for text in ["refused as well", "to be refused"] {
        house.network.send("491700002", "491700001", text).await;
    }
    person.find("[data-view=dead-letters]").await.click().await.unwrap();
    until("two letters are dead", SOON, || async {
        let letters = house.get("/api/webhooks/dead-letters").await;
        (letters.as_array()?.len() == 2).then_some(())
    })
    .await;
    person.find("[data-view=dead-letters]").await.click().await.unwrap();
    person.find("[data-view=dead-letters]").await.click().await.unwrap();
    person.says("#letters", "http_410").await;
    person.find("#letters button:nth-of-type(2)").await.click().await.unwrap();
    person.says("#letters pre", "to be refused").await;
    person.picture("dead-letters").await;
    person.look(360, true).await;
    person.fits().await;
    person.picture("dead-letters-narrow-dark").await;
    person.look(1200, false).await;
    receiver.behave(Manners::Kind);
    person.find("#letters button").await.click().await.unwrap();
    person.sees("document.querySelectorAll('#letters > li').length === 1").await;
    person.find("#letters-session").await.click().await.unwrap().type_str("nobody").await.unwrap();
    person.sees("!document.getElementById('no-letters').hidden").await;
    let all =
        "const form = document.getElementById('letters-form'); form.reset(); form.dispatchEvent(new Event('input'))";
    person.page.evaluate(all).await.unwrap();
    person.find("#letters-all").await.click().await.unwrap();
    person.sees("!document.getElementById('no-letters').hidden").await;
    for text in ["refused as well", "to be refused"] {
        until("it is told after all", SOON, || async {
            receiver.taken("message").iter().any(|one| one["payload"]["body"] == text).then_some(())
        })
        .await;
    }

    person.find("[data-view=api-keys]").await.click().await.unwrap();
    person.says("#keys", "admin").await;
    person.find("#new-key > button").await.click().await.unwrap();
    person.sees("document.getElementById('fresh-key').textContent.startsWith('key_')").await;
    let fresh = person.page.evaluate("document.getElementById('fresh-key').textContent").await.unwrap();
    let fresh: String = fresh.into_value().unwrap();
    assert_eq!(house.ask_as(&fresh, "GET", "/api/desk/chats", None).await.status, 200);
    person.picture("keys").await;
    person.look(360, true).await;
    person.fits().await;
    person.picture("keys-narrow-dark").await;
    person.look(1200, false).await;
    let press = async |button: &str| {
        let entry = "[...document.querySelectorAll('#keys li')].find((one) => one.textContent.includes('read, send'))";
        let button = format!("[...{entry}.querySelectorAll('button')].find((one) => one.textContent === '{button}')");
        person.page.evaluate(format!("{button}.click()")).await.unwrap();
    };
    press("New secret").await;
    person.find("#sure button[value=yes]").await.click().await.unwrap();
    person.says("#keys", "the old secret is good until").await;
    let newer = person.page.evaluate("document.getElementById('fresh-key').textContent").await.unwrap();
    let newer: String = newer.into_value().unwrap();
    assert_ne!(newer, fresh);
    for (act, status) in [("Switch off", 401), ("Switch on", 200)] {
        press(act).await;
        let other = if act == "Switch off" { "Switch on" } else { "Switch off" };
        person.says("#keys", other).await;
        until("it is so", SOON, || async {
            (house.ask_as(&newer, "GET", "/api/desk/chats", None).await.status == status).then_some(())
        })
        .await;
    }
    press("Revoke").await;
    person.find("#sure button[value=yes]").await.click().await.unwrap();
    person
        .sees("![...document.querySelectorAll('#keys li')].some((one) => one.textContent.includes('read, send'))")
        .await;
    assert_eq!(house.ask_as(&fresh, "GET", "/api/desk/chats", None).await.status, 401);
    person.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_is_invited_chooses_a_password_and_signs_in() {
    let house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    let url = format!("http://127.0.0.1:{}/", house.http);
    let admin = Person::at(&url).await;
    admin.look(1200, false).await;
    admin.picture("sign-in").await;
    admin.fill("#key", KEY).await;
    admin.press("#key", "Enter").await;
    admin.find("[data-view=people]").await.click().await.unwrap();
    admin.says("#people-list", "owner").await;
    admin.fill("#person-name", "anna").await;
    admin.fill("#person-email", "anna@example.com").await;
    admin.press("#person-email", "Enter").await;
    admin.says("#people-list", "invited").await;
    let link = admin.page.evaluate("document.getElementById('invited-link').textContent").await.unwrap();
    let link: String = link.into_value().unwrap();
    assert!(link.starts_with(&format!("{url}#invitation=wri_")), "{link}");
    // What somebody may have is shown, and given.
    admin.find("#people-list li:last-child summary").await.click().await.unwrap();
    admin.fill("#people-list li:last-child input[name=sessions]", "7").await;
    admin.press("#people-list li:last-child input[name=sessions]", "Enter").await;
    admin.sees("document.querySelector('#people-list li:last-child input[name=sessions]').value === '7'").await;
    admin.says("#people-room", "0 of 1,000 webhooks").await;
    admin.picture("people").await;
    admin.look(360, true).await;
    admin.fits().await;
    admin.picture("people-narrow-dark").await;

    let anna = Person::at(&link).await;
    anna.look(360, false).await;
    anna.fill("#chosen", "anna@example.com").await;
    anna.press("#chosen", "Enter").await;
    anna.says("#invitation-problem", "too easy to guess").await;
    anna.page.evaluate("document.getElementById('chosen').value = ''").await.unwrap();
    anna.picture("invitation-narrow").await;
    anna.fill("#chosen", PASSWORD).await;
    anna.press("#chosen", "Enter").await;
    anna.sees("!document.getElementById('sign-in').hidden && !location.href.includes('invitation')").await;
    anna.fill("#email", "anna@example.com").await;
    anna.fill("#password", "wrong").await;
    anna.press("#password", "Enter").await;
    anna.says("#person-problem", "is wrong").await;
    anna.page.evaluate("document.getElementById('password').value = ''").await.unwrap();
    anna.fill("#password", PASSWORD).await;
    anna.press("#password", "Enter").await;
    anna.sees("!document.getElementById('house').hidden").await;
    anna.fits().await;

    // Shut out, she is back at the door.
    admin.look(1200, false).await;
    admin.find("#people-list li:last-child .danger").await.click().await.unwrap();
    admin.find("#sure button[value=yes]").await.click().await.unwrap();
    admin.says("#people-list", "shut out").await;
    anna.sees("!document.getElementById('sign-in').hidden").await;
    for person in [admin, anna] {
        person.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_came_over_plain_http_from_elsewhere_says_so() {
    let house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    let near = Person::at(&format!("http://127.0.0.1:{}/", house.http)).await;
    near.find("#key").await;
    near.sees("document.getElementById('plain').hidden").await;
    let far = Person::at(&format!("http://{ELSEWHERE}:{}/", house.http)).await;
    far.says("#plain", "whoever is in between can read and change it").await;
    far.find("#plain").await;
    // She gets in all the same, and what is pushed reaches her.
    far.fill("#key", KEY).await;
    far.press("#key", "Enter").await;
    far.sees("!document.getElementById('house').hidden").await;
    far.look(360, true).await;
    far.fits().await;
    far.picture("plain-narrow-dark").await;
    for person in [near, far] {
        person.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_to_tenants_and_let_in_who_was_shut_out() {
    let settings = [
        ("WARDROOM__POOL__WARM_SPARES", "0"),
        ("WARDROOM__OPS__TOKEN", "of the operator"),
        ("WARDROOM__GUARD__FAILURES", "1"),
        ("WARDROOM__GUARD__TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let house = House::with(&settings, &[]).await;
    let ops = format!("http://127.0.0.1:{}", house.ops);
    let guess = reqwest::Client::new().get(format!("http://127.0.0.1:{}/api/sessions", house.http));
    guess.header("x-api-key", "guess").header("x-forwarded-for", "203.0.113.9").send().await.unwrap();
    let ask = async |method: &str, path: &str, token: &str, body: Option<serde_json::Value>| {
        let request =
            reqwest::Client::new().request(method.parse().unwrap(), format!("{ops}{path}")).bearer_auth(token);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        request.send().await.unwrap()
    };
    for (method, path) in [("GET", "/tenants"), ("POST", "/tenants"), ("DELETE", "/tenants/default"), ("GET", "/audit")]
    {
        assert_eq!(ask(method, path, "guess", None).await.status(), 401, "{method} {path}");
    }

    let person = Person::at(&ops).await;
    person.look(1200, false).await;
    person.fill("#token", "wrong").await;
    person.press("#token", "Enter").await;
    person.says("#door-problem", "ops.token is needed").await;
    person.page.evaluate("document.getElementById('token').value = ''").await.unwrap();
    person.fill("#token", "of the operator").await;
    person.press("#token", "Enter").await;
    person.says("#tenants", "default").await;
    person.says("#blocks", "203.0.113.9").await;
    person.fill("#name", "acme").await;
    person.press("#name", "Enter").await;
    person.says("#tenants", "acme").await;
    person.find("#tenants li:last-child summary").await.click().await.unwrap();
    person.fill("#tenants li:last-child input[name=sessions]", "3").await;
    person.press("#tenants li:last-child input[name=sessions]", "Enter").await;
    until("the tenant's quota is changed", SOON, || async {
        let tenants: serde_json::Value = ask("GET", "/tenants", "of the operator", None).await.json().await.unwrap();
        (tenants[1]["quota"]["sessions"] == json!({"limit": 3, "used": 0, "isDefault": false})).then_some(())
    })
    .await;
    // The list is drawn anew then, with all closed.
    person.sees("!document.querySelector('#tenants li:last-child details').open").await;
    person.find("#tenants li:last-child details:last-child summary").await.click().await.unwrap();
    // A list that is empty leads nowhere, and stays so when it is saved again.
    let hosts = |listed: serde_json::Value| {
        until("the hosts are saved", SOON, move || {
            let listed = listed.clone();
            async move {
                let tenants: serde_json::Value =
                    ask("GET", "/tenants", "of the operator", None).await.json().await.unwrap();
                (tenants[1]["hosts"] == listed).then_some(())
            }
        })
    };
    let form = "#tenants li:last-child details:last-child";
    person.find(&format!("{form} input[type=checkbox]")).await.click().await.unwrap();
    person.find(&format!("{form} button")).await.click().await.unwrap();
    hosts(json!([])).await;
    person.says(form, "name 0 hosts").await;
    person.find(&format!("{form} summary")).await.click().await.unwrap();
    person.find(&format!("{form} button")).await.click().await.unwrap();
    person.sees("!document.querySelector('#tenants li:last-child details:last-child').open").await;
    hosts(json!([])).await;
    person.find(&format!("{form} summary")).await.click().await.unwrap();
    person.fill(&format!("{form} textarea"), "hooks.example.com *.example.org").await;
    person.picture("operators-hosts").await;
    person.find(&format!("{form} button")).await.click().await.unwrap();
    person.says("#tenants li:last-child", "name 2 hosts").await;
    person.find("#tenants li:last-child .actions button:first-child").await.click().await.unwrap();
    person.find("#sure .danger").await.click().await.unwrap();
    person.says("#tenants li:last-child", "suspended").await;
    person.find("#blocks button").await.click().await.unwrap();
    person.says("#blocks", "Nobody").await;
    person.picture("operators").await;
    person.look(360, true).await;
    person.fits().await;
    person.picture("operators-narrow-dark").await;
    person.find("#tenants li:last-child .actions .danger, #tenants li:last-child .actions button:last-child").await;
    person
        .page
        .evaluate("document.querySelector('#tenants li:last-child .actions button:last-child').click()")
        .await
        .unwrap();
    person.find("#sure .danger").await.click().await.unwrap();
    person.sees("!document.getElementById('tenants').textContent.includes('acme')").await;
    person.says("#records", "tenant deleted").await;
    person.find("#leave").await.click().await.unwrap();
    person.find("#token").await;
    person.sees("!document.body.textContent.includes('default')").await;
    person.leave().await;

    // What is no tenant, and no limit, changes nothing.
    let token = "of the operator";
    for (method, path, body, status) in [
        ("POST", "/tenants", json!({"name": ""}), 400),
        ("POST", "/tenants", json!({"name": "x", "id": 1}), 400),
        ("POST", "/tenants", json!({"name": "default"}), 422),
        ("PUT", "/tenants/none", json!({"status": "active"}), 404),
        ("PUT", "/tenants/default", json!({"status": "deleted"}), 400),
        ("PUT", "/tenants/default/quota", json!({"sessions": -1}), 400),
        ("PUT", "/tenants/default/hosts", json!({"hosts": ["https://example.com/"]}), 400),
        ("PUT", "/tenants/default/hosts", json!({}), 400),
        ("PUT", "/tenants/none/hosts", json!({"hosts": null}), 404),
        ("DELETE", "/tenants/none", json!({}), 404),
        ("GET", "/audit?limit=0", json!({}), 400),
        ("GET", "/audit?tenant=none", json!({}), 404),
    ] {
        assert_eq!(ask(method, path, token, Some(body)).await.status().as_u16(), status, "{method} {path}");
    }
    ask("PUT", "/tenants/default/quota", token, Some(json!({"sessions": 50}))).await;
    let records: serde_json::Value = ask("GET", "/audit?tenant=default", token, None).await.json().await.unwrap();
    assert!(records.as_array().is_some_and(|records| !records.is_empty()), "{records}");
    for (what, whom) in [
        ("ops.token used", "127.0.0.1"),
        ("ops.token refused", "127.0.0.1"),
        ("tenant created", "127.0.0.1"),
        ("quota changed", "127.0.0.1"),
        ("security: key_guessing", "203.0.113.9"),
        ("address let in again", "203.0.113.9"),
    ] {
        until(what, SOON, || async {
            let own: serde_json::Value = ask("GET", "/audit", token, None).await.json().await.unwrap();
            let is = |one: &serde_json::Value| one["what"] == what && (one["address"] == whom || one["about"] == whom);
            own.as_array().unwrap().iter().any(is).then_some(())
        })
        .await;
    }
    // Without a token nobody manages tenants here.
    let mut house = house;
    house.close().await;
    house.set("WARDROOM__OPS__TOKEN", "");
    house.open().await;
    assert_eq!(ask("POST", "/tenants", "", Some(json!({"name": "free"}))).await.status(), 403);
    assert_eq!(ask("GET", "/blocks", "", None).await.status(), 200);
}
