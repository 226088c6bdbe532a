//! People: how they get in, what their roles allow, and how they are shut out.

use base64::Engine as _;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use wardroom_load::house::{Answer, House, PASSWORD, SOON, until};

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A house without browsers.
async fn house(settings: &[(&str, &str)]) -> House {
    let settings: Vec<_> = [("WARDROOM__POOL__WARM_SPARES", "0")].into_iter().chain(settings.iter().copied()).collect();
    House::with(&settings, &[]).await
}

async fn socket(house: &House, query: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let url = format!("ws://127.0.0.1:{}/ws{query}", house.http);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(_) => Err(0),
    }
}

/// How long a socket stays open from now on.
async fn closes(mut socket: Socket) -> Duration {
    let begun = Instant::now();
    while let Some(Ok(frame)) = tokio::time::timeout(SOON, socket.next()).await.expect("it is closed") {
        if frame.is_close() {
            break;
        }
    }
    begun.elapsed()
}

async fn try_token(house: &House, email: &str, password: &str, code: Option<&str>) -> Answer {
    let shown = json!({"email": email, "password": password, "code": code});
    house.anonymous("POST", "/api/auth/token", Some(shown)).await
}

/// How long a stream of events stays open from now on.
async fn ends(mut stream: reqwest::Response) -> Duration {
    let begun = Instant::now();
    let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(SOON, end).await.expect("it ends");
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_person_signs_in_renews_and_leaves() {
    let leaked = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(leaked.path(), "123456\nthree green chairs at the sea\n").unwrap();
    let house = house(&[("WARDROOM__GUARD__LEAKED_PASSWORDS", leaked.path().to_str().unwrap())]).await;
    let guest = json!({"name": "anna", "email": " Anna@Example.com", "role": "operator"});
    let invited = house.post("/api/users", guest).await;
    assert_eq!((&invited["email"], &invited["hasPassword"]), (&json!("anna@example.com"), &json!(false)));
    let accept = async |invitation: &Value, password: &str| {
        let body = json!({"invitation": invitation, "password": password});
        house.anonymous("POST", "/api/auth/invitation", Some(body)).await
    };
    for weak in ["short", "passwordpassword", "anna@example.com", "annaannaanna", "Three green chairs at the sea"] {
        assert_eq!(accept(&invited["invitation"], weak).await.refused(400), "bad_request", "{weak}");
    }
    assert_eq!(try_token(&house, "anna@example.com", "", None).await.refused(401), "unauthorized", "no password yet");
    assert_eq!(accept(&invited["invitation"], PASSWORD).await.status, 204);
    assert_eq!(accept(&invited["invitation"], PASSWORD).await.refused(401), "unauthorized", "it is good once");
    // Whoever is not let in is told the same, whatever was wrong.
    let mut told = vec![];
    for (email, password) in [("nobody@example.com", PASSWORD), ("anna@example.com", "wrong"), ("anna", PASSWORD)] {
        let answer = try_token(&house, email, password, None).await;
        assert_eq!(answer.refused(401), "unauthorized");
        told.push(answer.json()["message"].clone());
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");

    let (token, refresh) = house.sign_in("anna").await;
    let header = token.split('.').next().unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    let me = house.ask_as(&token, "GET", "/api/auth/me", None).await.ok();
    assert_eq!(
        (&me["user"], &me["role"], &me["email"]),
        (&json!("anna"), &json!("operator"), &json!("anna@example.com"))
    );
    let made = house.ask_as(&token, "POST", "/api/sessions", Some(json!({"name": "hers", "start": false}))).await.ok();
    assert_eq!(made["name"], "hers");
    let renew =
        async |token: &str| house.anonymous("POST", "/api/auth/refresh", Some(json!({"refreshToken": token}))).await;
    let renewed = renew(&refresh).await.ok();
    let (second, next) = (renewed["accessToken"].as_str().unwrap(), renewed["refreshToken"].as_str().unwrap());
    house.ask_as(second, "GET", "/api/sessions", None).await.ok();

    // Somebody has a copy of the first: the whole stay ends, its sockets too.
    let open = socket(&house, "", &[("authorization", &format!("Bearer {second}"))]).await.unwrap();
    let ended = tokio::spawn(closes(open));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(renew(&refresh).await.refused(401), "unauthorized");
    assert!(ended.await.unwrap() < Duration::from_millis(1500));
    assert_eq!(renew(next).await.refused(401), "unauthorized");
    for token in [&token, second] {
        assert_eq!(house.ask_as(token, "GET", "/api/sessions", None).await.refused(401), "unauthorized");
    }
    let events = house.metric(r#"wardroom_security_events_total{event_type="token_reuse",severity="high"}"#).await;
    assert_eq!(events, 1.0);
    // A proxy's own scheme is not ours.
    let url = format!("http://127.0.0.1:{}/api/sessions", house.http);
    let by_proxy =
        reqwest::Client::new().get(&url).basic_auth("proxy", Some("x")).header("x-api-key", wardroom_load::house::KEY);
    assert_eq!(by_proxy.send().await.unwrap().status(), 200);
    for odd in ["", "wrr_", "wrr_AAAA", &next.replace("wrr_", "wrx_"), &format!("{next}A")] {
        assert_eq!(renew(odd).await.refused(401), "unauthorized", "{odd}");
    }

    // Leaving.
    let (token, refresh) = house.sign_in("anna").await;
    assert_eq!(house.ask_as(&token, "POST", "/api/auth/logout", None).await.status, 204);
    assert_eq!(house.ask_as(&token, "GET", "/api/sessions", None).await.refused(401), "unauthorized");
    assert_eq!(renew(&refresh).await.refused(401), "unauthorized");
    // Nothing that a person showed stands in the log or on the disk.
    let secrets = [PASSWORD, &refresh, invited["invitation"].as_str().unwrap(), "anna@example.com"];
    let files = [house.log().into_bytes(), std::fs::read(house.data().join("wardroom.db")).unwrap_or_default()];
    let wal = std::fs::read(house.data().join("wardroom.db-wal")).unwrap_or_default();
    for text in files.iter().chain([&wal]) {
        for secret in secrets {
            assert!(!text.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_their_stays_and_ends_them() {
    let house = house(&[]).await;
    house.person("anna", "viewer").await;
    house.person("bert", "viewer").await;
    let (first, _) = house.sign_in("anna").await;
    let (second, _) = house.sign_in("anna").await;
    let (other, _) = house.sign_in("bert").await;
    let list = async |token: &str| {
        house.ask_as(token, "GET", "/api/auth/sign-ins", None).await.ok().as_array().unwrap().clone()
    };
    let stays = list(&second).await;
    assert_eq!(stays.len(), 2, "{stays:?}");
    assert_eq!((&stays[0]["isCurrent"], &stays[0]["address"]), (&json!(true), &json!("127.0.0.1")));
    let end = async |token: &str, id: &Value| {
        house.ask_as(token, "DELETE", &format!("/api/auth/sign-ins/{}", id.as_str().unwrap()), None).await
    };
    // Whoever knows of a stay does not end it, nor what was opened in it.
    let mut open = socket(&house, "", &[("authorization", &format!("Bearer {first}"))]).await.unwrap();
    assert_eq!(end(&other, &stays[1]["id"]).await.refused(404), "not_found", "somebody else's");
    assert!(tokio::time::timeout(Duration::from_millis(800), open.next()).await.is_err(), "it stays open");
    assert_eq!(end(&second, &stays[1]["id"]).await.status, 204);
    assert_eq!(house.ask_as(&first, "GET", "/api/auth/me", None).await.refused(401), "unauthorized");

    // Another password ends all but this one; the old one is not good any more.
    let (third, _) = house.sign_in("anna").await;
    let change = async |token: &str, current: &str, new: &str| {
        let body = json!({"current": current, "new": new});
        house.ask_as(token, "POST", "/api/auth/password", Some(body)).await
    };
    const NEW: &str = "a lamp beside the harbour wall";
    assert_eq!(change(&third, "wrong", NEW).await.refused(401), "unauthorized");
    assert_eq!(change(&third, PASSWORD, "example.com1").await.refused(400), "bad_request");
    assert_eq!(change(&third, PASSWORD, NEW).await.status, 204);
    assert_eq!(list(&third).await.len(), 1);
    assert_eq!(house.ask_as(&second, "GET", "/api/auth/me", None).await.refused(401), "unauthorized");
    assert_eq!(try_token(&house, "anna@example.com", PASSWORD, None).await.refused(401), "unauthorized");
    let signed_in = try_token(&house, "anna@example.com", NEW, None).await.ok();
    assert_eq!(house.ask_as(&third, "DELETE", "/api/auth/sign-ins", None).await.status, 204);
    for token in [third.as_str(), signed_in["accessToken"].as_str().unwrap()] {
        assert_eq!(house.ask_as(token, "GET", "/api/auth/me", None).await.refused(401), "unauthorized");
    }
    house.ask_as(&other, "GET", "/api/auth/me", None).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_allows_what_it_says() {
    let house = house(&[]).await;
    house.post("/api/sessions", json!({"name": "default", "start": false})).await;
    let mut tokens = vec![];
    for role in ["viewer", "operator", "admin", "owner"] {
        house.person(role, role).await;
        tokens.push(house.sign_in(role).await.0);
    }
    let text = json!({"session": "default", "chatId": "1@c.us", "text": "x"});
    let key = json!({"session": "default"});
    for (verb, path, body, statuses) in [
        ("GET", "/api/sessions/default", None, [200, 200, 200, 200]),
        ("GET", "/api/supervision", None, [200, 200, 200, 200]),
        ("POST", "/api/sendText", Some(text), [403, 422, 422, 422]),
        ("POST", "/api/sessions/default/stop", None, [403, 201, 201, 201]),
        ("PUT", "/api/sessions/default", Some(json!({"config": {"network": "simulator"}})), [403, 200, 200, 200]),
        ("DELETE", "/api/sessions/none", None, [403, 403, 200, 200]),
        ("GET", "/api/keys", None, [403, 403, 200, 200]),
        ("POST", "/api/keys", Some(key), [403, 403, 201, 201]),
        ("GET", "/api/users", None, [403, 403, 200, 200]),
        ("GET", "/api/auth/sign-ins", None, [200, 200, 200, 200]),
    ] {
        for (token, status) in tokens.iter().zip(statuses) {
            let answer = house.ask_as(token, verb, path, body.clone()).await;
            assert_eq!(answer.status, status, "{verb} {path}: {}", String::from_utf8_lossy(&answer.bytes));
        }
    }
    let users = house.get("/api/users").await;
    let id = |name: &str| {
        let user = users.as_array().unwrap().iter().find(|user| user["name"] == name);
        user.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let [_, _, admin, owner] = tokens.as_slice() else { return };
    let change = async |token: &str, name: &str, body: Value| {
        house.ask_as(token, "PUT", &format!("/api/users/{}", id(name)), Some(body)).await
    };
    // With owners only owners have to do, and nobody with themselves.
    assert_eq!(change(admin, "owner", json!({"role": "viewer"})).await.refused(403), "forbidden");
    assert_eq!(change(admin, "operator", json!({"role": "owner"})).await.refused(403), "forbidden");
    assert_eq!(change(admin, "admin", json!({"role": "viewer"})).await.refused(422), "own_self");
    let invite = json!({"name": "eve", "email": "eve@example.com", "role": "owner"});
    assert_eq!(house.ask_as(admin, "POST", "/api/users", Some(invite)).await.refused(403), "forbidden");
    let again = house.ask_as(admin, "POST", &format!("/api/users/{}/invitation", id("owner")), None).await;
    assert_eq!(again.refused(403), "forbidden");
    for odd in [json!({"role": "root"}), json!({"isAdmin": true}), json!({"status": "deleted"}), json!([])] {
        assert_eq!(change(owner, "viewer", odd).await.refused(400), "bad_request");
    }
    for odd in [
        json!({"name": "../x", "email": "x@example.com", "role": "viewer"}),
        json!({"name": "x", "email": "x", "role": "viewer"}),
        json!({"name": "x", "email": "x@example.com"}),
        json!({"name": "x", "email": "x@example.com", "role": "viewer", "password": "x"}),
    ] {
        assert_eq!(house.ask_as(owner, "POST", "/api/users", Some(odd)).await.refused(400), "bad_request");
    }
    let taken = json!({"name": "viewer", "email": "other@example.com", "role": "viewer"});
    assert_eq!(house.ask_as(owner, "POST", "/api/users", Some(taken)).await.refused(422), "name_taken");
    let stranger = house.tenant("stranger");
    let taken = json!({"name": "v", "email": "viewer@example.com", "role": "viewer"});
    assert_eq!(house.ask_as(&stranger, "POST", "/api/users", Some(taken)).await.refused(422), "email_taken");

    // An owner's key is as good as the owner, and nobody gives themselves another password but with their own.
    let keys = house.get("/api/keys").await;
    let mine =
        keys.as_array().unwrap().iter().find(|key| key["isAdmin"] == true).unwrap()["id"].as_str().unwrap().to_owned();
    let switched = Some(json!({"isAdmin": true, "isActive": false}));
    for (verb, rest, body) in
        [("POST", "/rotate", Some(json!({"overlapSeconds": 60}))), ("PUT", "", switched), ("DELETE", "", None)]
    {
        let answer = house.ask_as(admin, verb, &format!("/api/keys/{mine}{rest}"), body).await;
        assert_eq!(answer.refused(403), "forbidden", "{verb} {rest}");
    }
    let bound = house.ask_as(admin, "POST", "/api/keys", Some(json!({"session": "default"}))).await.ok();
    let path = format!("/api/keys/{}", bound["id"].as_str().unwrap());
    house.ask_as(admin, "PUT", &path, Some(json!({"isAdmin": true}))).await.ok();
    let raise = json!({"role": "owner"});
    let raised = house
        .ask_as(bound["key"].as_str().unwrap(), "PUT", &format!("/api/users/{}", id("operator")), Some(raise))
        .await;
    assert_eq!(raised.refused(403), "forbidden", "it was made an admin's, not an owner's");
    let own = house.ask_as(admin, "POST", &format!("/api/users/{}/invitation", id("admin")), None).await;
    assert_eq!(own.refused(422), "own_self");

    // A role holds at once, and an admin's keys go with it.
    let made = house.ask_as(admin, "POST", "/api/keys", Some(json!({"isAdmin": true}))).await.ok();
    let made = made["key"].as_str().unwrap();
    house.ask_as(made, "GET", "/api/keys", None).await.ok();
    change(owner, "admin", json!({"role": "viewer"})).await.ok();
    assert_eq!(house.ask_as(admin, "GET", "/api/keys", None).await.refused(403), "forbidden");
    assert_eq!(house.ask_as(made, "GET", "/api/keys", None).await.refused(401), "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_shut_out_is_out_within_a_second() {
    let house = house(&[]).await;
    let stranger = house.tenant("stranger");
    house.person("anna", "operator").await;
    let (token, refresh) = house.sign_in("anna").await;
    let bearer = format!("Bearer {token}");
    let key = house.run(&["keys", "create", "--tenant", "default", "--user", "anna"]);
    let key = key.lines().last().unwrap().to_owned();
    house.ask_as(&key, "GET", "/api/sessions", None).await.ok();
    let sockets = [
        socket(&house, "", &[("authorization", &bearer)]).await.unwrap(),
        socket(&house, "", &[("x-api-key", &key)]).await.unwrap(),
    ];
    let closing = sockets.map(|socket| tokio::spawn(closes(socket)));
    let begun = Instant::now();
    // Another process says so.
    house.run(&["users", "suspend", "anna"]);
    let said = begun.elapsed();
    for one in closing {
        let took = one.await.unwrap();
        assert!(took < said + Duration::from_millis(1500), "{took:?} after {said:?}");
    }
    for secret in [&token, &key] {
        assert_eq!(house.ask_as(secret, "GET", "/api/sessions", None).await.refused(401), "unauthorized");
    }
    let renew = async || house.anonymous("POST", "/api/auth/refresh", Some(json!({"refreshToken": refresh}))).await;
    assert_eq!(renew().await.refused(401), "unauthorized");
    assert_eq!(try_token(&house, "anna@example.com", PASSWORD, None).await.refused(401), "unauthorized");
    house.run(&["users", "resume", "anna"]);
    until("the key is good again", SOON, || async {
        (house.ask_as(&key, "GET", "/api/sessions", None).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(renew().await.refused(401), "unauthorized", "the stay has ended");

    // A whole tenant.
    let (token, refresh) = house.sign_in("anna").await;
    let open = socket(&house, "", &[("authorization", &format!("Bearer {token}"))]).await.unwrap();
    let other = socket(&house, "", &[("x-api-key", &stranger)]).await.unwrap();
    let stream = reqwest::Client::new().get(format!("http://127.0.0.1:{}/api/events", house.http)).bearer_auth(&token);
    let stream = stream.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let closing = [tokio::spawn(closes(open)), tokio::spawn(ends(stream))];
    let begun = Instant::now();
    house.run(&["tenants", "suspend", "default"]);
    let said = begun.elapsed();
    for one in closing {
        let took = one.await.unwrap();
        assert!(took < said + Duration::from_millis(1500), "{took:?} after {said:?}");
    }
    assert!(house.run(&["tenants", "list"]).lines().any(|line| line.contains("default") && line.contains("suspended")));
    for secret in [&token, &key, wardroom_load::house::KEY] {
        assert_eq!(house.ask_as(secret, "GET", "/api/sessions", None).await.refused(401), "unauthorized");
    }
    let renew = house.anonymous("POST", "/api/auth/refresh", Some(json!({"refreshToken": refresh}))).await;
    assert_eq!(renew.refused(401), "unauthorized");
    assert_eq!(try_token(&house, "anna@example.com", PASSWORD, None).await.refused(401), "unauthorized");
    house.ask_as(&stranger, "GET", "/api/sessions", None).await.ok();
    house.run(&["tenants", "resume", "default"]);
    until("it is let in again", SOON, || async {
        (house.ask("GET", "/api/sessions", None).await.status == 200).then_some(())
    })
    .await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_needed_and_each_code_is_good_once() {
    let house = house(&[]).await;
    house.person("anna", "viewer").await;
    let (token, _) = house.sign_in("anna").await;
    let ask = async |verb: &str, path: &str, body: Option<Value>| {
        house.ask_as(&token, verb, &format!("/api/auth/second-factor{path}"), body).await
    };
    let offer = ask("GET", "", None).await.ok();
    let secret = offer["secret"].as_str().unwrap();
    let totp = totp_rs::Totp::from_url(offer["url"].as_str().unwrap()).unwrap();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let begin = async |password: &str, code: &str| {
        ask("POST", "/begin", Some(json!({"password": password, "secret": secret, "code": code}))).await
    };
    assert_eq!(begin("wrong", &totp.generate(now()).to_string()).await.refused(401), "unauthorized");
    assert_eq!(begin(PASSWORD, "12345").await.refused(400), "bad_request");
    let papers = begin(PASSWORD, &totp.generate(now()).to_string()).await.ok();
    let papers = papers["recoveryCodes"].as_array().unwrap();
    assert_eq!(papers.len(), 10);
    let paper = |place: usize| papers[place].as_str().unwrap();
    let enter = async |code: Option<&str>| try_token(&house, "anna@example.com", PASSWORD, code).await;
    assert_eq!(enter(None).await.refused(401), "second_factor_needed");
    assert_eq!(try_token(&house, "anna@example.com", "wrong", None).await.refused(401), "unauthorized");
    assert_eq!(enter(Some("000000x")).await.refused(401), "unauthorized");
    let next = totp.generate(now() + 30).to_string();
    enter(Some(&next)).await.ok();
    assert_eq!(enter(Some(&next)).await.refused(401), "unauthorized", "it was used");
    // Of two who show one code at the same time, one is let in.
    let (one, two) = tokio::join!(enter(Some(paper(0))), enter(Some(paper(0))));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    assert_eq!(begin(PASSWORD, paper(1)).await.refused(422), "second_factor_set");
    let remove = async |code: &str| ask("POST", "/remove", Some(json!({"password": PASSWORD, "code": code}))).await;
    assert_eq!(remove(paper(1)).await.refused(401), "unauthorized", "used");
    assert_eq!(remove(paper(2)).await.status, 204);
    enter(None).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_second_factor_is_taken_off_by_an_admin_and_by_nothing_else() {
    let house = house(&[]).await;
    house.person("anna", "admin").await;
    let people = house.get("/api/users").await;
    let id = people.as_array().unwrap().iter().find(|one| one["name"] == "anna").unwrap()["id"].as_str().unwrap();
    let set_up = async || {
        let (token, _) = house.sign_in("anna").await;
        let offer = house.ask_as(&token, "GET", "/api/auth/second-factor", None).await.ok();
        let totp = totp_rs::Totp::from_url(offer["url"].as_str().unwrap()).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let shown = json!({"password": PASSWORD, "secret": offer["secret"], "code": totp.generate(now).to_string()});
        house.ask_as(&token, "POST", "/api/auth/second-factor/begin", Some(shown)).await.ok();
        token
    };
    let off = format!("/api/users/{id}/second-factor");
    let token = set_up().await;
    // A password that is chosen anew opens nothing without it.
    let invited = house.post(&format!("/api/users/{id}/invitation"), json!({})).await;
    let chosen = json!({"invitation": invited["invitation"], "password": PASSWORD});
    house.anonymous("POST", "/api/auth/invitation", Some(chosen)).await.ok();
    let enter = async || try_token(&house, "anna@example.com", PASSWORD, None).await;
    assert_eq!(enter().await.refused(401), "second_factor_needed");
    assert_eq!(house.ask_as(&token, "GET", "/api/auth/me", None).await.status, 401, "the stays have ended");

    house.ask("DELETE", &off, None).await.ok();
    assert_eq!(house.ask("DELETE", &off, None).await.refused(404), "not_found", "there is none any more");
    let token = set_up().await;
    assert_eq!(house.ask_as(&token, "DELETE", &off, None).await.refused(422), "own_self");
    assert_eq!(enter().await.refused(401), "second_factor_needed");
    house.run(&["users", "take-second-factor", "anna"]);
    enter().await.ok();
    until("the stay from before has ended", SOON, || async {
        (house.ask_as(&token, "GET", "/api/auth/me", None).await.status == 401).then_some(())
    })
    .await;
    let records = house.get("/api/audit?limit=100").await;
    for what in ["DELETE /api/users/{id}/second-factor", "second factor taken"] {
        assert!(records.as_array().unwrap().iter().any(|one| one["what"] == what), "{what}: {records}");
    }
    let refused = |one: &&Value| one["code"] == "second_factor_needed";
    let refused = records.as_array().unwrap().iter().find(refused).unwrap();
    assert_eq!(refused["shown"], json!(["password"]), "the password was right");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_too_often_waits() {
    let settings = [
        ("WARDROOM__GUARD__SIGN_INS", "3"),
        ("WARDROOM__GUARD__TRUSTED_PROXIES", "127.0.0.1"),
        ("WARDROOM__GUARD__TOKEN_S", "1"),
    ];
    let house = house(&settings).await;
    house.person("anna", "viewer").await;
    house.person("bert", "viewer").await;
    let enter = async |from: &str, name: &str, password: &str| {
        let url = format!("http://127.0.0.1:{}/api/auth/token", house.http);
        let shown = json!({"email": format!("{name}@example.com"), "password": password});
        let request = reqwest::Client::new().post(url).header("x-forwarded-for", from).json(&shown);
        Answer::of(request.send().await.unwrap()).await
    };
    for _ in 0..3 {
        assert_eq!(enter("192.0.2.1", "anna", "wrong").await.refused(401), "unauthorized");
    }
    let refused = enter("192.0.2.1", "bert", PASSWORD).await;
    assert!((1..=21).contains(&refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap()));
    assert_eq!(refused.refused(429), "too_many_requests", "this address");
    assert_eq!(enter("192.0.2.2", "anna", PASSWORD).await.refused(429), "too_many_requests", "this account");
    let token = enter("192.0.2.2", "bert", PASSWORD).await.ok()["accessToken"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(house.ask_as(&token, "GET", "/api/auth/me", None).await.refused(401), "token_expired");
    assert_eq!(house.metric(r#"wardroom_failed_logins_total{reason="password"}"#).await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_that_are_tried_from_everywhere_are_not_looked_at() {
    let settings = [
        ("WARDROOM__GUARD__TRUSTED_PROXIES", "127.0.0.1"),
        ("WARDROOM__GUARD__SIGN_IN_ORIGINS", "10"),
        ("WARDROOM__OPS__TOKEN", "of the operator"),
    ];
    let house = house(&settings).await;
    house.person("anna", "viewer").await;
    let sign_in = async |from: &str, email: &str, password: &str| {
        let url = format!("http://127.0.0.1:{}/api/auth/token", house.http);
        let body = json!({"email": email, "password": password});
        let request = reqwest::Client::new().post(url).json(&body).header("x-forwarded-for", from);
        Answer::of(request.send().await.unwrap()).await
    };
    let (home, elsewhere, anna) = ("198.51.100.7", "198.51.100.8", "anna@example.com");
    sign_in(home, anna, PASSWORD).await.ok();
    for n in 0..10 {
        let from = format!("203.0.113.{n}");
        assert_eq!(sign_in(&from, &format!("{n}@example.com"), "a password that leaked").await.status, 401, "{n}");
    }
    // Right or wrong, from elsewhere it is not looked at; where she was before she still gets in, and keys are another matter.
    for password in [PASSWORD, "a password that leaked"] {
        let refused = sign_in(elsewhere, anna, password).await;
        assert!((200..=300).contains(&refused.headers["retry-after"].to_str().unwrap().parse().unwrap()));
        assert_eq!(refused.refused(429), "too_many_requests");
    }
    sign_in(home, anna, PASSWORD).await.ok();
    house.get("/api/sessions").await;
    let listed = house.run(&["blocks", "list"]);
    assert!(listed.starts_with("sign-ins "), "{listed}");
    house.run(&["blocks", "remove", "sign-ins"]);
    sign_in(elsewhere, anna, PASSWORD).await.ok();
    let metrics = reqwest::Client::new().get(format!("http://127.0.0.1:{}/metrics", house.ops));
    let metrics = metrics.bearer_auth("of the operator").send().await.unwrap().text().await.unwrap();
    let line = r#"wardroom_security_events_total{event_type="credential_stuffing",severity="high"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_socket_for_our_own_pages() {
    let house = house(&[("WARDROOM__HTTP__CORS_ORIGINS", "https://app.example.com")]).await;
    let ticket = async || {
        let made = house.post("/api/auth/ticket", json!({})).await;
        format!("?ticket={}", made["ticket"].as_str().unwrap())
    };
    let first = ticket().await;
    assert!(socket(&house, &first, &[]).await.is_ok());
    assert_eq!(socket(&house, &first, &[]).await.err(), Some(401), "it is good once");
    assert_eq!(socket(&house, "?ticket=wrt_none", &[]).await.err(), Some(401));
    let foreign = [("origin", "https://evil.example.com")];
    assert_eq!(socket(&house, &ticket().await, &foreign).await.err(), Some(403), "another site's page");
    assert!(socket(&house, &ticket().await, &[("origin", "https://app.example.com")]).await.is_ok());
    let own = format!("http://127.0.0.1:{}", house.http);
    assert!(socket(&house, &ticket().await, &[("origin", &own)]).await.is_ok());
    // Whoever has left meanwhile does not come back by a ticket.
    house.person("anna", "viewer").await;
    let (token, _) = house.sign_in("anna").await;
    let made = house.ask_as(&token, "POST", "/api/auth/ticket", None).await.ok();
    house.ask_as(&token, "POST", "/api/auth/logout", None).await;
    assert_eq!(socket(&house, &format!("?ticket={}", made["ticket"].as_str().unwrap()), &[]).await.err(), Some(401));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_of_another_system_is_taken_over() {
    let house = house(&[]).await;
    // "hunter2 hunter2", at the least cost that is taken over.
    let hash = bcrypt::hash("hunter2 hunter2", 10).unwrap();
    let invite = |hash: String| {
        use std::io::Write as _;
        let arguments = ["users", "invite", "carl", "--email", "carl@example.com", "--role", "viewer", "--bcrypt"];
        let mut child = house.command().args(arguments).stdin(std::process::Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{hash}\n").as_bytes()).unwrap();
        child.wait().unwrap().success()
    };
    for bad in ["no hash".to_owned(), hash.replace("$10$", "$09$")] {
        assert!(!invite(bad));
    }
    assert!(invite(hash));
    for _ in 0..2 {
        // The second time it is argon2id's.
        try_token(&house, "carl@example.com", "hunter2 hunter2", None).await.ok();
    }
    assert_eq!(try_token(&house, "carl@example.com", "hunter2", None).await.refused(401), "unauthorized");
    let link = house.run(&["users", "invite", "dora", "--email", "dora@example.com"]);
    let link = link.lines().last().unwrap().to_owned();
    let token = link.split_once("/#invitation=").unwrap().1;
    let chosen = json!({"invitation": token, "password": PASSWORD});
    assert_eq!(house.anonymous("POST", "/api/auth/invitation", Some(chosen)).await.status, 204);
    let listed = house.run(&["users", "list"]);
    assert!(listed.contains("dora@example.com") && listed.contains("owner"), "{listed}");
    let help = house.run(&["users", "invite", "--help"]);
    assert!(help.contains("--role") && help.contains("--bcrypt"), "{help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_of_a_tenant_that_is_shut_and_nothing_is_lost() {
    let mut house = house(&[]).await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    house.run(&["tenants", "suspend", "default"]);
    let ended = async |house: &House| {
        until("its browser ends", SOON, || async { house.browsers().is_empty().then_some(()) }).await
    };
    ended(&house).await;
    house.network.send("491700002", "491700001", "are you there?").await;
    // Also after a restart.
    house.close().await;
    house.open().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ended(&house).await;
    house.run(&["tenants", "resume", "default"]);
    until("it is let in again", SOON, || async {
        (house.ask("GET", "/api/sessions", None).await.status == 200).then_some(())
    })
    .await;
    house.is("default", "WORKING").await;
    let heard = until("Bob is heard", SOON, || async { house.messages("default", "491700002@c.us").await.pop() }).await;
    assert_eq!(heard["body"], "are you there?");
}
