//! `/docs`: the API's document, to be read and tried in a browser. Without a key: it tells nothing of anybody.

use super::docs::document;
use super::not_found;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use std::sync::{Arc, LazyLock};
use utoipa_swagger_ui::Config;

/// The page styles itself and has its pictures inside.
const POLICY: &str = "default-src 'self'; object-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| Arc::new(Config::from("/docs/openapi.json")));
static DOCUMENT: LazyLock<String> = LazyLock::new(document);

/// Its routes.
pub fn routes(config: &mut web::ServiceConfig) {
    let to_page = || async { HttpResponse::Found().insert_header((header::LOCATION, "/docs/")).finish() };
    let text = || async { HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str()) };
    config
        .route("/docs", web::get().to(to_page))
        .route("/docs/openapi.json", web::get().to(text))
        .route("/docs/{file:.*}", web::get().to(file));
}

async fn file(request: HttpRequest, name: web::Path<String>) -> HttpResponse {
    match utoipa_swagger_ui::serve(&name, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => HttpResponse::Ok()
            .content_type(file.content_type)
            .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
            .body(file.bytes.into_owned()),
        _ => not_found(request).await,
    }
}
