//! Commands that show what a running server has, and whom it tells.

use super::client::{blocking, text};
use super::{ChatsCommand, MessagesCommand, Server, WebhooksCommand, WebhooksVerb};
use anyhow::bail;
use reqwest::Method;
use serde_json::{Value, json};

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub(super) fn chats(server: &Server, what: &ChatsCommand) -> anyhow::Result<()> {
    blocking(async {
        let path = format!("/api/{}/chats?limit={}", what.session, what.limit);
        for chat in rows(&server.ask(Method::GET, &path, None).await?) {
            println!("{:<32} {}", text(chat, "/id"), text(chat, "/name"));
        }
        Ok(())
    })
}

/// Oldest first, as a chat is read.
pub(super) fn messages(server: &Server, what: &MessagesCommand) -> anyhow::Result<()> {
    blocking(async {
        let path = format!("/api/{}/chats/{}/messages?limit={}", what.session, what.chat, what.limit);
        let found = server.ask(Method::GET, &path, None).await?;
        for message in rows(&found).collect::<Vec<_>>().into_iter().rev() {
            let own = message.get("fromMe") == Some(&Value::Bool(true));
            let from = if own { "me" } else { text(message, "/from") };
            let author = message.get("participant").and_then(Value::as_str).unwrap_or(from);
            let file = text(message, "/media/url");
            let body = [text(message, "/body"), file].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
            let at = message.get("timestamp").map(Value::to_string).unwrap_or_default();
            println!("{at} {:<8} {author:<24} {}", text(message, "/ackName"), body.join(" "));
        }
        Ok(())
    })
}

pub(super) fn webhooks(server: &Server, what: &WebhooksCommand) -> anyhow::Result<()> {
    blocking(async {
        let path = format!("/api/sessions/{}", what.session);
        let mut config = server.ask(Method::GET, &path, None).await?.get("config").cloned().unwrap_or_default();
        let hooks = config.get("webhooks").and_then(Value::as_array).cloned().unwrap_or_default();
        let is = |hook: &Value, url: &str| text(hook, "/url") == url;
        let hooks = match &what.verb {
            WebhooksVerb::List => {
                for hook in &hooks {
                    let events = rows(hook.get("events").unwrap_or(&Value::Null)).filter_map(Value::as_str);
                    println!("{} {}", text(hook, "/url"), events.collect::<Vec<_>>().join(","));
                }
                return Ok(());
            }
            WebhooksVerb::Add { hook: url, events, hmac_key } => {
                // What is known of it and not named stays: retries, headers, the key.
                let known = hooks.iter().find(|known| is(known, url)).cloned();
                let mut hook = known.unwrap_or_else(|| json!({"url": url}));
                if let Some(fields) = hook.as_object_mut() {
                    fields.insert("events".into(), json!(events));
                    if let Some(key) = hmac_key {
                        fields.insert("hmac".into(), json!({"key": key}));
                    }
                }
                hooks.into_iter().filter(|known| !is(known, url)).chain([hook]).collect::<Vec<_>>()
            }
            WebhooksVerb::Remove { hook: url } if hooks.iter().any(|hook| is(hook, url)) => {
                hooks.into_iter().filter(|hook| !is(hook, url)).collect()
            }
            WebhooksVerb::Remove { hook: url } => bail!("{} has no webhook {url}", what.session),
            WebhooksVerb::Test { hook: url } => {
                let hook = hooks.into_iter().find(|hook| is(hook, url)).unwrap_or_else(|| json!({"url": url}));
                let body = json!({"session": what.session, "webhook": hook});
                let told = server.ask(Method::POST, "/api/webhooks/test", Some(body)).await?;
                if told.get("taken") != Some(&Value::Bool(true)) {
                    bail!("{url} did not take it: {}", text(&told, "/code"));
                }
                println!("taken within {} ms", told.get("ms").map(Value::to_string).unwrap_or_default());
                return Ok(());
            }
        };
        let Some(fields) = config.as_object_mut() else { bail!("this key does not see the session's config") };
        fields.insert("webhooks".into(), Value::Array(hooks));
        server.ask(Method::PUT, &path, Some(json!({"config": config}))).await?;
        Ok(())
    })
}
