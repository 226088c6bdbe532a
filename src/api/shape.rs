//! Bodies that several handlers and the socket share, in WAHA's words.

use crate::error::ApiError;
use crate::links;
use crate::store::repo::identity::{Action, Holder};
use actix_web::http::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use wardroom_actors::domain::fetching::Fetching;
use wardroom_actors::domain::ignoring::Ignored;
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::message::Message;
use wardroom_actors::domain::spec::Network;
use wardroom_actors::domain::webhook::{Header, Hook, Hooks};
use wardroom_actors::handle::Seen;

/// Milliseconds as JSON.
#[must_use]
pub fn time_ms(ms: i64) -> Value {
    json!(ms)
}

/// WAHA's session object; `network` in the config and `user`-facing fields are Wardroom's. A config has secrets: whoever may
/// not set it sees its metadata alone.
#[must_use]
pub fn session_body(seen: &Seen, holder: &Holder) -> Value {
    let config: Value = if holder.may(Action::Setting) {
        serde_json::from_str(&seen.spec.config).unwrap_or_default()
    } else {
        json!({"metadata": metadata_of(&seen.spec.config)})
    };
    let mut body = json!({
        "name": seen.spec.name.as_str(),
        "status": seen.view.status.as_str(),
        "config": config,
        "me": seen.view.account.as_ref().map(account_body),
        "engine": {"engine": "WEBJS"},
        "presence": null,
        "timestamps": {"activity": seen.view.activity_ms},
        "assignedWorker": "wardroom",
        "apps": null,
    });
    if let (Some(exit), Some(object)) = (&seen.view.exit, body.as_object_mut()) {
        let action = exit.user_action();
        let retry = seen.view.retry_at_ms;
        object.insert("lastExit".into(), json!({"reason": exit.code(), "userAction": action, "retryAt": retry}));
    }
    body
}

/// WAHA's `me`.
#[must_use]
pub fn account_body(account: &Account) -> Value {
    json!({"id": account.id, "lid": account.lid, "pushName": account.push_name})
}

/// WAHA's message object.
#[must_use]
pub fn message_body(message: &Message, account: Option<&Account>) -> Value {
    let own = account.map(|account| account.id.as_str());
    let source = if message.via_api { "api" } else { "app" };
    json!({
        "id": message.id,
        "timestamp": message.timestamp,
        "from": own.filter(|_| message.from_me).unwrap_or(&message.chat),
        "fromMe": message.from_me,
        "source": source,
        "to": if message.from_me { Some(message.chat.as_str()) } else { own },
        "participant": message.participant,
        "body": message.body,
        "hasMedia": message.parts.media.is_some(),
        "media": message.parts.media.as_ref().map(|media| json!({
            "url": links::to_file(&message.id, media), "mimetype": media.mimetype, "filename": media.filename,
            "error": null,
        })),
        "ack": i8::from(message.ack),
        "ackName": message.ack.name(),
        "vCards": message.parts.cards,
        "location": message.parts.location.as_ref().map(|place| json!({
            "description": place.description, "latitude": place.latitude, "longitude": place.longitude,
        })),
        "replyTo": message.parts.reply_to.as_ref().map(|quoted| json!({
            "id": quoted.id, "participant": quoted.participant, "body": quoted.body, "hasMedia": false, "media": null,
            "_data": {},
        })),
        "_data": data_of(message),
    })
}

/// What WAHA leaves to the engine.
fn data_of(message: &Message) -> Value {
    let mut data = json!({"type": message.kind, "notifyName": message.push_name});
    if let (true, Some(object)) = (message.parts.edited, data.as_object_mut()) {
        object.insert("edited".into(), json!(true));
    }
    if let (Some(poll), Some(object)) = (&message.parts.poll, data.as_object_mut()) {
        object.insert("pollName".into(), json!(message.body));
        object.insert("pollOptions".into(), json!(poll.options));
        object.insert("pollSelectableOptionsCount".into(), json!(u8::from(!poll.multiple)));
    }
    data
}

/// The config's `metadata`, which comes back in every event.
#[must_use]
pub fn metadata_of(config: &str) -> Value {
    let config: Value = serde_json::from_str(config).unwrap_or_default();
    config.get("metadata").filter(|metadata| metadata.is_object()).cloned().unwrap_or_else(|| json!({}))
}

/// Webhooks of a session: each of its events is written once for each of them.
const MOST_WEBHOOKS: usize = 20;

/// Headers that a webhook may be sent along.
const MOST_HEADERS: usize = 50;

/// Whether a webhook can be posted to.
///
/// # Errors
/// What is wrong with it; no secret is named.
pub fn sound_hook(hook: &Hook) -> Result<(), String> {
    let url = reqwest::Url::parse(&hook.url).ok();
    if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        return Err("a url is not an http or https URL".to_owned());
    }
    if hook.custom_headers.len() > MOST_HEADERS {
        return Err(format!("there may be {MOST_HEADERS} customHeaders"));
    }
    for Header { name, value } in &hook.custom_headers {
        // These say to whom and how it is sent, which is not the user's to decide.
        let ours = ["host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer"];
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
        let sendable =
            parsed.is_some_and(|name| !ours.contains(&name.as_str())) && HeaderValue::from_str(value).is_ok();
        if !sendable {
            return Err(format!("{name:?} cannot be one of the customHeaders"));
        }
    }
    Ok(())
}

/// What Wardroom itself reads out of a config.
///
/// # Errors
/// 400 when the shape is wrong; the rest of a config is kept as it comes.
pub fn read_config(config: &Value) -> Result<Network, ApiError> {
    let Some(object) = config.as_object() else {
        return Err(ApiError::invalid("config must be an object"));
    };
    if let Some(metadata) = object.get("metadata").filter(|value| !value.is_null()) {
        let flat = metadata.as_object().is_some_and(|map| map.values().all(Value::is_string));
        if !flat {
            return Err(ApiError::invalid("config.metadata must be a flat map of texts"));
        }
    }
    match object.get("engine") {
        None | Some(Value::Null) => {}
        Some(engine) if engine == "web" => {}
        Some(_) => return Err(ApiError::invalid("config.engine must be \"web\"")),
    }
    // A session that its owner believes behind a proxy must not show the server's own address.
    if object.get("proxy").is_some_and(|proxy| !proxy.is_null()) {
        return Err(ApiError::invalid("config.proxy is not offered: a session uses the server's own network"));
    }
    Fetching::of_config(config).map_err(ApiError::invalid)?;
    Ignored::of_config(config).map_err(ApiError::invalid)?;
    let hooks = Hooks::of_config(config).map_err(ApiError::invalid)?;
    if hooks.iter().count() > MOST_WEBHOOKS {
        return Err(ApiError::invalid(format!("config.webhooks may have {MOST_WEBHOOKS} webhooks")));
    }
    for (_, hook) in hooks.iter() {
        sound_hook(hook).map_err(|what| ApiError::invalid(format!("config.webhooks: {what}")))?;
    }
    match object.get("network") {
        None | Some(Value::Null) => Ok(Network::Whatsapp),
        Some(network) if network == "whatsapp" => Ok(Network::Whatsapp),
        Some(network) if network == "simulator" => Ok(Network::Simulator),
        Some(_) => Err(ApiError::invalid("config.network must be \"whatsapp\" or \"simulator\"")),
    }
}

/// A QR code as PNG: black on white with the quiet zone that scanners need.
///
/// # Errors
/// When the text is too long for a code.
pub fn qr_png(text: &str) -> Result<Vec<u8>, ApiError> {
    const SCALE: usize = 6;
    const QUIET: usize = 4;
    let failed = |_| ApiError::new("internal", "Internal server error");
    let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::L).map_err(failed)?;
    let (width, modules) = (code.width(), code.to_colors());
    let side = (width + 2 * QUIET) * SCALE;
    let dark = |x: usize, y: usize| {
        let place = |at: usize| (at / SCALE).checked_sub(QUIET).filter(|at| *at < width);
        let (Some(column), Some(row)) = (place(x), place(y)) else { return false };
        modules.get(row * width + column).is_some_and(|color| *color == qrcode::Color::Dark)
    };
    let pixels: Vec<u8> =
        (0..side).flat_map(|y| (0..side).map(move |x| (x, y))).map(|(x, y)| if dark(x, y) { 0 } else { 255 }).collect();
    let size = u32::try_from(side).unwrap_or_default();
    let mut png = vec![];
    let mut encoder = png::Encoder::new(&mut png, size, size);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    written.map_err(|_| ApiError::new("internal", "Internal server error"))?;
    Ok(png)
}
