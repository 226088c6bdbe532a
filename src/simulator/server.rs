//! The simulator's HTTP: the page, the phones, the control API.

use super::channels::ChannelChange;
use super::groups::{Group, GroupChange};
use super::hub::{Hub, LinkError, instant_now, unix_now};
use super::network::{Change, Letter};
use super::socket::{PageSocket, random_text};
use super::{Options, files};
use actix_web::dev::ServerHandle;
use actix_web::http::header;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// A simulator that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Ends it.
    pub handle: ServerHandle,
}

/// Starts a simulator.
///
/// # Errors
/// When its address is taken or its state cannot be read.
pub fn start(options: Options) -> std::io::Result<Running> {
    let listen = options.listen.clone();
    let scripted = options.script.clone();
    let hub = Hub::open(options)?;
    scripted.set_up(&hub);
    let players = hub.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(hub.clone()))
            .app_data(web::JsonConfig::default().limit(1 << 20).error_handler(|error, _| {
                let body = HttpResponse::BadRequest().json(json!({"error": error.to_string()}));
                actix_web::error::InternalError::from_response(error, body).into()
            }))
            .route("/", web::get().to(|| page(include_str!("assets/page.html"))))
            .route("/page.js", web::get().to(|| script(include_str!("assets/page.js"))))
            .route("/letters.js", web::get().to(|| script(include_str!("assets/letters.js"))))
            .route("/people.js", web::get().to(|| script(include_str!("assets/people.js"))))
            .route("/media", web::put().to(files::put))
            .route("/media/{hash}", web::get().to(files::get))
            .route("/models.js", web::get().to(|| script(include_str!("assets/models.js"))))
            .route("/phones", web::get().to(|| page(include_str!("assets/phones.html"))))
            .route("/phones.js", web::get().to(|| script(include_str!("assets/phones.js"))))
            .route("/link", web::get().to(link))
            .route("/api/phones", web::get().to(list))
            .route("/api/phones", web::post().to(add))
            .route("/api/phones/{number}/scan", web::post().to(scan))
            .route("/api/phones/{number}/pair", web::post().to(pair))
            .route("/api/phones/{number}/messages", web::get().to(messages))
            .route("/api/phones/{number}/messages", web::post().to(send))
            .route("/api/phones/{number}/files", web::post().to(files::send))
            .route("/api/phones/{number}/read", web::post().to(read))
            .route("/api/phones/{number}/typing", web::post().to(typing))
            .route("/api/phones/{number}/unlink", web::post().to(unlink))
            .route("/api/phones/{number}/groups", web::post().to(make_group))
            .route("/api/phones/{number}/groups/{group}", web::post().to(change_group))
            .route("/api/phones/{number}/call", web::post().to(call))
            .route("/api/phones/{number}/calls", web::get().to(calls))
            .route("/api/phones/{number}/about", web::put().to(about))
            .route("/api/phones/{number}/channels", web::post().to(make_channel))
            .route("/api/groups", web::get().to(groups))
            .route("/api/repeats", web::get().to(repeats))
            .route("/api/faults", web::post().to(fault))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(listen)?;
    let address = server.addrs().first().copied().ok_or_else(|| std::io::Error::other("no address"))?;
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    actix_web::rt::spawn(scripted.play(players));
    Ok(Running { address, handle })
}

async fn page(html: &'static str) -> HttpResponse {
    const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; style-src 'self' 'unsafe-inline'; \
                          img-src 'self' blob: data:";
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(html)
}

async fn script(text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text)
}

async fn link(request: HttpRequest, stream: web::Payload, hub: web::Data<Hub>) -> actix_web::Result<HttpResponse> {
    actix_web_actors::ws::WsResponseBuilder::new(PageSocket::new(Hub::clone(&hub)), &request, stream)
        .frame_size(1 << 20)
        .start()
}

fn problem(status: u16, text: &str) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
    HttpResponse::build(status).json(json!({"error": text}))
}

fn no_phone() -> HttpResponse {
    problem(404, "there is no such phone")
}

#[derive(Deserialize)]
struct NewPhone {
    number: String,
    #[serde(default)]
    name: Option<String>,
    /// Its messages arrive from its hidden id.
    #[serde(default)]
    lid: bool,
}

async fn add(hub: web::Data<Hub>, new: web::Json<NewPhone>) -> HttpResponse {
    let NewPhone { number, name, lid } = new.into_inner();
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !(5..=15).contains(&number.len()) {
        return problem(400, "number has 5 to 15 digits");
    }
    let mut state = hub.lock();
    if !state.network.phones.contains_key(&number) {
        let name = name.unwrap_or_else(|| number.clone());
        state.apply(&Change::PhoneAdded { number: number.clone(), name, hidden: lid });
    }
    let (name, lid) = state.face(&number);
    HttpResponse::Created().json(json!({"number": number, "name": name, "lid": lid}))
}

async fn list(hub: web::Data<Hub>) -> HttpResponse {
    let state = hub.lock();
    let phones: Vec<Value> = state
        .network
        .phones
        .iter()
        .map(|(number, phone)| {
            let devices: Vec<_> = state
                .network
                .devices
                .iter()
                .filter(|(_, one)| one.number == *number)
                .map(|(id, _)| id.clone())
                .collect();
            let online: Vec<_> =
                state.online(std::slice::from_ref(number)).into_iter().map(|(_, device)| device).collect();
            let waiting: usize =
                state.network.devices.values().filter(|one| one.number == *number).map(|one| one.queue.len()).sum();
            json!({"number": number, "name": phone.name, "lid": phone.lid, "devices": devices, "online": online,
                   "waiting": waiting})
        })
        .collect();
    HttpResponse::Ok().json(phones)
}

#[derive(Deserialize)]
struct Scan {
    qr: String,
}

async fn scan(hub: web::Data<Hub>, number: web::Path<String>, scan: web::Json<Scan>) -> HttpResponse {
    if scan.qr != "newest" && scan.qr.split(',').count() != 5 {
        return problem(400, "qr has 5 fields, separated by commas; or it is `newest`");
    }
    match hub.lock().scan(&number, &scan.qr) {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(LinkError::NoPhone) => no_phone(),
        Err(LinkError::NoCode) => problem(404, "no page shows a code"),
        Err(LinkError::Rotated) => problem(410, "this code is not shown any more"),
    }
}

#[derive(Deserialize)]
struct Pair {
    code: String,
}

async fn pair(hub: web::Data<Hub>, number: web::Path<String>, pair: web::Json<Pair>) -> HttpResponse {
    match hub.lock().pair(&number, &pair.code) {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(LinkError::NoPhone) => no_phone(),
        Err(LinkError::NoCode) => problem(404, "no page asked for this code for this number"),
        Err(LinkError::Rotated) => problem(410, "this code has expired"),
    }
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn messages(hub: web::Data<Hub>, number: web::Path<String>, after: web::Query<After>) -> HttpResponse {
    match hub.lock().network.phones.get(number.as_str()) {
        None => no_phone(),
        Some(phone) => {
            let new: Vec<_> = phone.messages.iter().filter(|one| one.seq > after.after).collect();
            HttpResponse::Ok().json(new)
        }
    }
}

#[derive(Deserialize)]
struct Outgoing {
    to: String,
    #[serde(default = "chat")]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    data: Value,
}

fn chat() -> String {
    "chat".to_owned()
}

async fn send(hub: web::Data<Hub>, number: web::Path<String>, outgoing: web::Json<Outgoing>) -> HttpResponse {
    let mut state = hub.lock();
    if !state.network.phones.contains_key(number.as_str()) {
        return no_phone();
    }
    let Some(to) = state.network.receiver(&number, &outgoing.to) else {
        return problem(404, "the receiver is not on this network, or does not hear this phone");
    };
    let id = new_id();
    let from = number.into_inner();
    let Outgoing { kind, text, data, .. } = outgoing.into_inner();
    state.send(Letter { id: id.clone(), from, to, kind, text, data, at: unix_now(), device: None });
    HttpResponse::Created().json(json!({"id": id}))
}

/// The id of a message that a phone sends.
pub(super) fn new_id() -> String {
    format!("3A{}", uuid::Uuid::new_v4().simple().to_string().to_uppercase().get(..18).unwrap_or_default())
}

#[derive(Deserialize)]
struct WithChat {
    chat: String,
    #[serde(default)]
    on: Option<bool>,
}

async fn read(hub: web::Data<Hub>, number: web::Path<String>, body: web::Json<WithChat>) -> HttpResponse {
    let mut state = hub.lock();
    match state.network.receiver(&number, &body.chat) {
        Some(other) if state.network.phones.contains_key(number.as_str()) => {
            state.read(&number, &other);
            HttpResponse::NoContent().finish()
        }
        _ => no_phone(),
    }
}

async fn typing(hub: web::Data<Hub>, number: web::Path<String>, body: web::Json<WithChat>) -> HttpResponse {
    let state = hub.lock();
    match state.network.receiver(&number, &body.chat) {
        Some(other) if state.network.phones.contains_key(number.as_str()) => {
            state.presence(&number, &other, if body.on.unwrap_or(true) { "composing" } else { "paused" });
            HttpResponse::NoContent().finish()
        }
        _ => no_phone(),
    }
}

async fn unlink(hub: web::Data<Hub>, number: web::Path<String>) -> HttpResponse {
    let mut state = hub.lock();
    if !state.network.phones.contains_key(number.as_str()) {
        return no_phone();
    }
    let devices: Vec<_> =
        state.network.devices.iter().filter(|(_, one)| one.number == *number).map(|(id, _)| id.clone()).collect();
    for device in devices {
        state.unlink(&device);
    }
    HttpResponse::NoContent().finish()
}

#[derive(Deserialize)]
struct NewChannel {
    name: String,
    #[serde(default)]
    description: String,
}

async fn make_channel(hub: web::Data<Hub>, number: web::Path<String>, body: web::Json<NewChannel>) -> HttpResponse {
    let mut state = hub.lock();
    if !state.network.phones.contains_key(number.as_str()) {
        return no_phone();
    }
    let NewChannel { name, description } = body.into_inner();
    let made = ChannelChange::Made { name, description, invite: random_text(22) };
    match state.rechannel(None, &number, made) {
        Some(id) => HttpResponse::Created().json(json!({"id": id})),
        None => problem(403, "the network refuses"),
    }
}

async fn groups(hub: web::Data<Hub>) -> HttpResponse {
    let state = hub.lock();
    let shape = |(id, group): (&String, &Group)| {
        let group_as_seen = group.shape(id, |number| state.address(number));
        json!({"invite": group.invite, "group": group_as_seen})
    };
    HttpResponse::Ok().json(state.network.groups.iter().map(shape).collect::<Vec<_>>())
}

#[derive(Deserialize)]
struct NewGroup {
    subject: String,
    people: Vec<String>,
}

async fn make_group(hub: web::Data<Hub>, number: web::Path<String>, new: web::Json<NewGroup>) -> HttpResponse {
    let mut state = hub.lock();
    let id = state.new_group();
    let NewGroup { subject, people } = new.into_inner();
    let mut change = GroupChange::Made { subject, people, invite: random_text(22) };
    state.by_number(&mut change);
    if state.network.phones.contains_key(number.as_str()) && state.regroup(&id, &number, change) {
        HttpResponse::Created().json(json!({"id": id}))
    } else {
        no_phone()
    }
}

async fn change_group(
    hub: web::Data<Hub>,
    path: web::Path<(String, String)>,
    change: web::Json<GroupChange>,
) -> HttpResponse {
    let (mut state, (number, group), mut change) = (hub.lock(), path.into_inner(), change.into_inner());
    state.by_number(&mut change);
    if state.regroup(&group, &number, change) {
        HttpResponse::NoContent().finish()
    } else {
        problem(403, "the network refuses: no such group, nobody there, or not an admin")
    }
}

#[derive(Deserialize)]
struct Calling {
    to: String,
    #[serde(default)]
    video: bool,
    /// Of a call that ends.
    ended: Option<String>,
    /// Of a call that somebody takes, on the phone that rings.
    taken: Option<String>,
}

async fn call(hub: web::Data<Hub>, number: web::Path<String>, calling: web::Json<Calling>) -> HttpResponse {
    let mut state = hub.lock();
    let Some(to) = state.network.number_of(&calling.to).filter(|_| state.network.phones.contains_key(number.as_str()))
    else {
        return no_phone();
    };
    let (word, id) = match (&calling.ended, &calling.taken) {
        (Some(id), _) => ("ended", id.clone()),
        (None, Some(id)) => ("taken", id.clone()),
        (None, None) => ("ringing", new_id()),
    };
    state.call(&id, &number, &to, word, calling.video);
    HttpResponse::Created().json(json!({"id": id}))
}

async fn calls(hub: web::Data<Hub>, number: web::Path<String>) -> HttpResponse {
    match hub.lock().network.phones.get(number.as_str()) {
        None => no_phone(),
        Some(phone) => {
            let calls: Vec<_> = phone.calls.iter().map(|(id, state)| json!({"id": id, "state": state})).collect();
            HttpResponse::Ok().json(calls)
        }
    }
}

#[derive(Deserialize)]
struct About {
    text: String,
}

async fn about(hub: web::Data<Hub>, number: web::Path<String>, about: web::Json<About>) -> HttpResponse {
    let mut state = hub.lock();
    if !state.network.phones.contains_key(number.as_str()) {
        return no_phone();
    }
    state.keep(&number, "about", json!(about.text));
    HttpResponse::NoContent().finish()
}

async fn repeats(hub: web::Data<Hub>) -> HttpResponse {
    let state = hub.lock();
    let all: Vec<_> = state.network.repeats.iter().map(|(id, to)| json!({"id": id, "to": to})).collect();
    HttpResponse::Ok().json(all)
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum FaultKind {
    CrashPage,
    HangPage,
    DropSocket,
    DeadSocket,
    Slow,
    Conflict,
    Ban,
    Logout,
    Outdated,
}

#[derive(Deserialize)]
struct Fault {
    number: String,
    kind: FaultKind,
    #[serde(default)]
    seconds: Option<u64>,
}

async fn fault(hub: web::Data<Hub>, fault: web::Json<Fault>) -> HttpResponse {
    let mut state = hub.lock();
    if !state.network.phones.contains_key(&fault.number) {
        return no_phone();
    }
    let seconds = fault.seconds.unwrap_or(10).min(600);
    let until = instant_now() + Duration::from_secs(seconds);
    let pages = state.online(std::slice::from_ref(&fault.number));
    let tell = |kind: &str| {
        for (connection, _) in &pages {
            state.push(*connection, json!({"type": kind, "seconds": seconds}));
        }
    };
    match fault.kind {
        FaultKind::CrashPage => tell("crash"),
        FaultKind::HangPage => tell("hang"),
        FaultKind::Conflict => tell("conflict"),
        FaultKind::Ban => tell("banned"),
        FaultKind::Outdated => tell("outdated"),
        FaultKind::DropSocket => {
            state.dropped.insert(fault.number.clone(), until);
            for (connection, _) in &pages {
                state.cut(*connection);
            }
        }
        FaultKind::DeadSocket => {
            for (connection, _) in &pages {
                state.kill(*connection);
            }
        }
        FaultKind::Slow => drop(state.slow.insert(fault.number.clone(), (until, Duration::from_millis(1500)))),
        FaultKind::Logout => {
            for (_, device) in &pages {
                state.unlink(device);
            }
        }
    }
    HttpResponse::NoContent().finish()
}
