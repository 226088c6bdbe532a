//! Commands that ask a running server.

use super::{BlocksCommand, DeadLettersVerb, EventsCommand, SendCommand, SendFileCommand, Server, SessionsVerb};
use crate::config::Ops;
use crate::links;
use anyhow::{Context as _, bail};
use base64::Engine as _;
use futures_util::StreamExt;
use qrcode::render::unicode::Dense1x2;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

pub(super) fn blocking<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

impl Server {
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        if self.key.is_empty() {
            bail!("an API key is needed: --key, or WARDROOM_KEY in the environment");
        }
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        let mut request = client.request(method, &url).header("x-api-key", &self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| format!("no server answers at {}", self.url))?;
        let status = response.status();
        let text = response.text().await?;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if !status.is_success() {
            let message = match body.get("message") {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
                _ => text,
            };
            bail!("{message} ({status})");
        }
        Ok(body)
    }
}

/// The text at a JSON pointer; empty when there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn line(session: &Value) -> String {
    format!("{:<24} {:<14} {}", text(session, "/name"), text(session, "/status"), text(session, "/me/id"))
}

pub(super) fn sessions(server: &Server, verb: SessionsVerb) -> anyhow::Result<()> {
    blocking(async {
        let session = match verb {
            SessionsVerb::List => {
                let all = server.ask(Method::GET, "/api/sessions?all=true", None).await?;
                for session in all.as_array().into_iter().flatten() {
                    println!("{}", line(session));
                }
                return Ok(());
            }
            SessionsVerb::Create { name, network, user } => {
                let body = json!({"name": name, "user": user, "config": {"network": network}});
                server.ask(Method::POST, "/api/sessions", Some(body)).await?
            }
            SessionsVerb::Start { name } => asked_to(server, &name, "start").await?,
            SessionsVerb::Stop { name } => asked_to(server, &name, "stop").await?,
            SessionsVerb::Restart { name } => asked_to(server, &name, "restart").await?,
            SessionsVerb::Logout { name } => asked_to(server, &name, "logout").await?,
            SessionsVerb::Delete { name } => {
                server.ask(Method::DELETE, &format!("/api/sessions/{name}"), None).await?;
                println!("{name} is gone.");
                return Ok(());
            }
        };
        println!("{}", line(&session));
        Ok(())
    })
}

async fn asked_to(server: &Server, name: &str, verb: &str) -> anyhow::Result<Value> {
    server.ask(Method::POST, &format!("/api/sessions/{name}/{verb}"), None).await
}

/// Draws each new code until the session is linked or its login has failed.
pub(super) fn login(server: &Server, session: &str) -> anyhow::Result<()> {
    blocking(async {
        let mut shown = String::new();
        loop {
            let state = server.ask(Method::GET, &format!("/api/sessions/{session}/status"), None).await?;
            match text(&state, "/status") {
                "WORKING" => {
                    println!("Linked to {}.", text(&state, "/phoneNumber"));
                    return Ok(());
                }
                "FAILED" => bail!("the login has failed. {}", text(&state, "/userAction")),
                "STOPPED" => bail!("the session is stopped: `wardroom sessions start {session}`"),
                "SCAN_QR_CODE" => {
                    let code = server.ask(Method::GET, &format!("/api/{session}/auth/qr?format=raw"), None).await;
                    let code = code.map(|code| text(&code, "/value").to_owned()).unwrap_or_default();
                    if !code.is_empty() && code != shown {
                        let drawing = qrcode::QrCode::with_error_correction_level(&code, qrcode::EcLevel::L)?;
                        println!("{}", drawing.render::<Dense1x2>().quiet_zone(true).build());
                        println!("WhatsApp on the phone → Linked devices → Link a device. The code changes by itself.");
                        shown = code;
                    }
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
}

pub(super) fn send(server: &Server, what: &SendCommand) -> anyhow::Result<()> {
    blocking(async {
        let body = json!({"session": what.session, "chatId": what.chat, "text": what.text});
        let message = server.ask(Method::POST, "/api/sendText", Some(body)).await?;
        println!("{} {}", text(&message, "/id"), text(&message, "/ackName"));
        Ok(())
    })
}

pub(super) fn send_file(server: &Server, what: &SendFileCommand) -> anyhow::Result<()> {
    let bytes = std::fs::read(&what.path).with_context(|| format!("{} cannot be read", what.path.display()))?;
    let name = what.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mimetype = links::mimetype(&name);
    let route = match mimetype.split('/').next() {
        Some("image") if !what.document => "/api/sendImage",
        Some("video") if !what.document => "/api/sendVideo",
        Some("audio") if !what.document => "/api/sendVoice",
        _ => "/api/sendFile",
    };
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    let file = json!({"mimetype": mimetype, "filename": name, "data": data});
    let body = json!({"session": what.session, "chatId": what.chat, "file": file, "caption": what.caption});
    blocking(async {
        let message = server.ask(Method::POST, route, Some(body)).await?;
        println!("{} {}", text(&message, "/id"), text(&message, "/ackName"));
        Ok(())
    })
}

pub(super) fn dead_letters(server: &Server, verb: DeadLettersVerb) -> anyhow::Result<()> {
    blocking(async {
        match verb {
            DeadLettersVerb::List { session } => {
                let of = session.map(|session| format!("?session={session}")).unwrap_or_default();
                let letters = server.ask(Method::GET, &format!("/api/webhooks/dead-letters{of}"), None).await?;
                for letter in letters.as_array().into_iter().flatten() {
                    let [session, event, code, url] =
                        ["/session", "/event", "/code", "/url"].map(|key| text(letter, key));
                    let [id, at] =
                        ["id", "recordedAt"].map(|key| letter.get(key).map(Value::to_string).unwrap_or_default());
                    println!("{id:<10} {at:<14} {session:<24} {event:<16} {code:<16} {url}");
                }
            }
            DeadLettersVerb::Show { id } => {
                let letter = server.ask(Method::GET, &format!("/api/webhooks/dead-letters/{id}"), None).await?;
                println!("{}", serde_json::to_string_pretty(&letter)?);
            }
            DeadLettersVerb::Replay { ids, session, from, to } => {
                let ids = (!ids.is_empty()).then_some(ids);
                let body = json!({"ids": ids, "session": session, "from": from, "to": to});
                let done = server.ask(Method::POST, "/api/webhooks/dead-letters/replay", Some(body)).await?;
                println!("{} will be told again.", done.get("replayed").map(Value::to_string).unwrap_or_default());
            }
        }
        Ok(())
    })
}

pub(super) fn events(server: &Server, what: &EventsCommand) -> anyhow::Result<()> {
    blocking(async {
        let base = server.url.trim_end_matches('/').replacen("http", "ws", 1);
        let since = match (&what.since, what.follow) {
            (Some(cursor), _) => format!("&since={cursor}"),
            (None, false) => "&since=j0".to_owned(),
            (None, true) => String::new(),
        };
        let mut request = format!("{base}/ws?session={}{since}", what.session).into_client_request()?;
        request.headers_mut().insert("x-api-key", HeaderValue::from_str(&server.key)?);
        let (mut socket, _) = tokio_tungstenite::connect_async(request)
            .await
            .with_context(|| format!("no server answers at {}, or it refuses this key", server.url))?;
        loop {
            // Recorded events come without a pause; the first pause ends a look at them.
            let next = socket.next();
            let message = if what.follow {
                next.await
            } else {
                match tokio::time::timeout(Duration::from_secs(1), next).await {
                    Ok(message) => message,
                    Err(_) => return Ok(()),
                }
            };
            match message {
                Some(Ok(message)) if message.is_text() => println!("{}", message.into_text()?),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            }
        }
    })
}

/// Asks the operators' listener that this config names.
pub(super) fn blocks(ops: &Ops, verb: BlocksCommand) -> anyhow::Result<()> {
    let ask = async |method: Method, path: &str| {
        let url = format!("http://{}{path}", ops.listen);
        let request = reqwest::Client::new().request(method, &url).bearer_auth(ops.token.expose_secret());
        let response = request.send().await.with_context(|| format!("no server answers at {}", ops.listen))?;
        let (status, text) = (response.status(), response.text().await?);
        if status.is_success() { Ok(text) } else { bail!("{} ({status})", text.trim_end()) }
    };
    blocking(async {
        match verb {
            BlocksCommand::List => {
                let all: Value = serde_json::from_str(&ask(Method::GET, "/blocks").await?)?;
                for one in all.as_array().into_iter().flatten() {
                    println!("{:<45} for {} s more", text(one, "/address"), one["secondsLeft"]);
                }
            }
            BlocksCommand::Remove { address } => {
                ask(Method::DELETE, &format!("/blocks/{address}")).await?;
                println!("{address} may try again.");
            }
        }
        Ok(())
    })
}
