//! `/api/{session}/labels`: how a business account sorts its chats.

use super::asking::{act_named, ask_named};
use super::{Api, Named, chat_id};
use crate::error::ApiError;
use crate::palette;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::asking::{self, Label};

/// Longest name of a label in bytes; the network takes 100 characters.
const NAME: usize = 400;
/// Labels that one chat may be given at once; the network has 20.
const MOST: usize = 100;

/// A label to be made or changed.
#[derive(Deserialize, ToSchema)]
pub struct NewLabel {
    /// Its name.
    #[schema(example = "New Client")]
    name: String,
    /// Place in the network's palette, 0 to 19.
    #[schema(example = 1)]
    color: Option<u8>,
    /// The same as a color of the palette.
    #[serde(rename = "colorHex")]
    #[schema(example = "#64c4ff")]
    color_hex: Option<String>,
}

/// A label by its id.
#[derive(Deserialize, ToSchema)]
pub struct Which {
    /// Its id.
    #[schema(example = "1")]
    id: String,
}

/// All labels that a chat shall have.
#[derive(Deserialize, ToSchema)]
pub struct Labels {
    /// None of them takes away all.
    labels: Vec<Which>,
}

impl NewLabel {
    fn color(&self) -> Result<Option<u8>, ApiError> {
        match (self.color, self.color_hex.as_deref()) {
            (Some(color), _) if palette::hex(color).is_some() => Ok(Some(color)),
            (Some(_), _) => Err(ApiError::invalid("color must be 0 to 19")),
            (None, Some(hex)) => match palette::place(hex) {
                Some(color) => Ok(Some(color)),
                None => Err(ApiError::invalid("colorHex is not a label's color")),
            },
            (None, None) => Ok(None),
        }
    }

    fn name(&self) -> Result<String, ApiError> {
        let fits = !self.name.is_empty() && self.name.len() <= NAME;
        if fits { Ok(self.name.clone()) } else { Err(ApiError::invalid(format!("name must have 1 to {NAME} bytes"))) }
    }
}

fn shape(label: &Label) -> Value {
    json!({"id": label.id, "name": label.name, "color": label.color, "colorHex": palette::hex(label.color)})
}

fn label_id(text: &str) -> Result<String, ApiError> {
    let sound = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if sound { Ok(text.to_owned()) } else { Err(ApiError::invalid("a label's id is a number")) }
}

/// All labels.
///
/// # Errors
/// 404, 422 when the session is not WORKING.
#[utoipa::path(get, path = "/api/{session}/labels", tag = "labels", params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "Labels"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn list(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let labels = ask_named(&api, &named, asking::labels()).await?;
    Ok(HttpResponse::Ok().json(labels.iter().map(shape).collect::<Vec<_>>()))
}

/// Makes a label.
///
/// # Errors
/// 400, 404, 422 when the session is not WORKING or the network refuses.
#[utoipa::path(post, path = "/api/{session}/labels", tag = "labels", request_body = NewLabel,
    params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The label"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn create(named: Named, api: web::Data<Api>, body: web::Json<NewLabel>) -> Result<HttpResponse, ApiError> {
    let made = ask_named(&api, &named, asking::create_label(body.name()?, body.color()?)).await?;
    Ok(HttpResponse::Created().json(shape(&made)))
}

/// Changes a label.
///
/// # Errors
/// As for making one; 404 when there is no such label.
#[utoipa::path(put, path = "/api/{session}/labels/{label}", tag = "labels", request_body = NewLabel,
    params(("session" = String, Path, example = "default"), ("label" = String, Path, example = "1")),
    responses((status = 200, description = "The label"), (status = 404, description = "No such session or label"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn update(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    body: web::Json<NewLabel>,
) -> Result<HttpResponse, ApiError> {
    let (label, name, color) = (label_id(&path.1)?, body.name()?, body.color()?);
    let known = ask_named(&api, &named, asking::labels()).await?.into_iter().find(|one| one.id == label);
    let known = known.ok_or_else(|| ApiError::new("not_found", "There is no such label"))?;
    let color = color.unwrap_or(known.color);
    act_named(&api, &named, Action::EditLabel { label: label.clone(), name: name.clone(), color }).await?;
    Ok(HttpResponse::Ok().json(shape(&Label { id: label, name, color })))
}

/// Removes a label, from all chats too.
///
/// # Errors
/// As for changing one.
#[utoipa::path(delete, path = "/api/{session}/labels/{label}", tag = "labels",
    params(("session" = String, Path, example = "default"), ("label" = String, Path, example = "1")),
    responses((status = 200, description = "Done"), (status = 404, description = "No such session or label"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn delete(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    act_named(&api, &named, Action::DeleteLabel { label: label_id(&path.1)? }).await?;
    Ok(HttpResponse::Ok().json(json!({"result": true})))
}

/// The chats that have a label.
///
/// # Errors
/// As for changing one.
#[utoipa::path(get, path = "/api/{session}/labels/{label}/chats", tag = "labels",
    params(("session" = String, Path, example = "default"), ("label" = String, Path, example = "1")),
    responses((status = 200, description = "Chats"), (status = 404, description = "No such session or label"),
        (status = 422, description = "Not WORKING")))]
pub async fn chats(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let chats = ask_named(&api, &named, asking::labelled(label_id(&path.1)?)).await?;
    Ok(HttpResponse::Ok().json(chats.iter().map(|chat| json!({"id": chat})).collect::<Vec<_>>()))
}

/// The labels of a chat.
///
/// # Errors
/// As for all labels.
#[utoipa::path(get, path = "/api/{session}/labels/chats/{chat}", tag = "labels",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 200, description = "Labels"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn of_chat(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let labels = ask_named(&api, &named, asking::labels_of(chat_id(&path.1)?)).await?;
    Ok(HttpResponse::Ok().json(labels.iter().map(shape).collect::<Vec<_>>()))
}

/// Gives a chat these labels and no others.
///
/// # Errors
/// As for changing one.
#[utoipa::path(put, path = "/api/{session}/labels/chats/{chat}", tag = "labels", request_body = Labels,
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 200, description = "Done"), (status = 404, description = "No such session or label"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn set(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    body: web::Json<Labels>,
) -> Result<HttpResponse, ApiError> {
    if body.labels.len() > MOST {
        return Err(ApiError::invalid(format!("a chat has at most {MOST} labels")));
    }
    let labels: BTreeSet<_> = body.labels.iter().map(|one| label_id(&one.id)).collect::<Result<_, _>>()?;
    let labels = labels.into_iter().collect();
    act_named(&api, &named, Action::Label { chat: chat_id(&path.1)?, labels }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_color_is_a_place_or_a_color_of_the_palette() {
        let label = |color, hex: Option<&str>| NewLabel { name: "n".into(), color, color_hex: hex.map(str::to_owned) };
        assert_eq!(label(None, None).color().unwrap(), None);
        assert_eq!(label(Some(19), None).color().unwrap(), Some(19));
        assert_eq!(label(None, Some("#64C4FF")).color().unwrap(), Some(1));
        assert!(label(Some(20), None).color().is_err());
        assert!(label(None, Some("#123456")).color().is_err());
    }
}
