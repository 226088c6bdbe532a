//! What operators do to tenants, over HTTP: the same as on the command line, and recorded as it is there.

use super::Ops;
use crate::api::audit::{Asked, body as record};
use crate::api::quotas::NewQuota;
use crate::auth::audit::told;
use crate::egress::Hosts;
use crate::error::ApiError;
use crate::store::repo::own::SERVER;
use crate::store::repo::people::{Standing, Tenant};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use wardroom_actors::domain::ids::TenantId;

/// A tenant that does not exist yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    name: String,
}

/// Whether it is let in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stand {
    status: Standing,
}

/// The hosts that its URLs may name; null: any.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    #[serde(deserialize_with = "Option::deserialize")]
    hosts: Option<Vec<String>>,
}

/// Whose records, and which.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whose {
    tenant: Option<String>,
    limit: Option<u64>,
    before: Option<i64>,
}

/// Whether this is a name for a tenant.
#[must_use]
pub fn is_tenant_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && !name.chars().any(char::is_control)
}

async fn shown(ops: &Ops, tenant: Tenant) -> Result<Value, ApiError> {
    let quota = ops.quotas.seen(&ops.store, tenant.id, None).await?;
    Ok(json!({
        "id": tenant.id.0, "name": tenant.name, "status": tenant.standing, "createdAt": tenant.created_ms, "quota": quota,
        "hosts": tenant.hosts,
    }))
}

async fn found(ops: &Ops, name: &str) -> Result<Tenant, ApiError> {
    let all = ops.store.all_tenants().await?;
    all.into_iter().find(|one| one.name == name).ok_or_else(|| ApiError::new("not_found", "There is no such tenant"))
}

/// Records what an operator did: to the tenant, and from which address for the server's own chain.
async fn done(ops: &Ops, request: &HttpRequest, tenant: TenantId, what: &str) -> Result<(), ApiError> {
    told(&ops.store, Some(tenant), what, None, None).await?;
    Ok(told(&ops.store, None, what, Some(tenant.0), Some(&ops.door.address(request))).await?)
}

/// `GET /tenants`
///
/// # Errors
/// The database's, as of all of these.
pub async fn list(ops: web::Data<Ops>) -> Result<HttpResponse, ApiError> {
    let mut all = vec![];
    for tenant in ops.store.all_tenants().await? {
        all.push(shown(&ops, tenant).await?);
    }
    Ok(HttpResponse::Ok().json(all))
}

/// `POST /tenants`
///
/// # Errors
/// 400 for what is no name, 422 for one that is taken.
pub async fn create(
    request: HttpRequest,
    ops: web::Data<Ops>,
    body: web::Json<NewTenant>,
) -> Result<HttpResponse, ApiError> {
    let name = body.into_inner().name;
    if !is_tenant_name(&name) {
        return Err(ApiError::invalid("a tenant's name has 1 to 64 characters"));
    }
    let id = ops.store.create_tenant(&name).await?;
    let id = id.ok_or_else(|| ApiError::new("name_taken", "There is a tenant of this name already"))?;
    done(&ops, &request, id, "tenant created").await?;
    Ok(HttpResponse::Created().json(shown(&ops, found(&ops, &name).await?).await?))
}

/// `PUT /tenants/{name}`
///
/// # Errors
/// 404 for an unknown one.
pub async fn stand(
    request: HttpRequest,
    ops: web::Data<Ops>,
    name: web::Path<String>,
    body: web::Json<Stand>,
) -> Result<HttpResponse, ApiError> {
    let tenant = found(&ops, &name).await?;
    if !ops.store.set_standing(&name, body.status).await? {
        return Err(ApiError::new("not_found", "There is no such tenant"));
    }
    done(&ops, &request, tenant.id, &format!("tenant {}", body.status.name())).await?;
    Ok(HttpResponse::Ok().json(shown(&ops, found(&ops, &name).await?).await?))
}

/// `PUT /tenants/{name}/quota`
///
/// # Errors
/// 400 for what is no limit, 404 for an unknown tenant.
pub async fn quota(
    request: HttpRequest,
    ops: web::Data<Ops>,
    name: web::Path<String>,
    body: web::Json<NewQuota>,
) -> Result<HttpResponse, ApiError> {
    let given = body.into_inner().given()?;
    let tenant = found(&ops, &name).await?;
    ops.store.give_quota(tenant.id, None, given).await?;
    ops.quotas.read(&ops.store).await?;
    done(&ops, &request, tenant.id, "quota changed").await?;
    Ok(HttpResponse::Ok().json(shown(&ops, tenant).await?))
}

/// `PUT /tenants/{name}/hosts`
///
/// # Errors
/// 400 for what is no host, 404 for an unknown tenant.
pub async fn hosts(
    request: HttpRequest,
    ops: web::Data<Ops>,
    name: web::Path<String>,
    body: web::Json<Named>,
) -> Result<HttpResponse, ApiError> {
    let hosts = body.into_inner().hosts.map(|hosts| Hosts::read(&hosts)).transpose().map_err(ApiError::invalid)?;
    let tenant = found(&ops, &name).await?;
    ops.store.give_hosts(tenant.id, hosts.as_ref().map(Hosts::list)).await?;
    ops.egress.set_tenants(ops.store.hosts().await?);
    done(&ops, &request, tenant.id, "hosts changed").await?;
    Ok(HttpResponse::Ok().json(shown(&ops, found(&ops, &name).await?).await?))
}

/// `DELETE /tenants/{name}`
///
/// # Errors
/// 404 for an unknown one.
pub async fn remove(
    request: HttpRequest,
    ops: web::Data<Ops>,
    name: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let tenant = found(&ops, &name).await?;
    if !ops.store.shred_tenant(&name).await? {
        return Err(ApiError::new("not_found", "There is no such tenant"));
    }
    done(&ops, &request, tenant.id, "tenant deleted").await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /audit`: a tenant's records, or the server's own.
///
/// # Errors
/// 400 for a limit that is none, 404 for an unknown tenant.
pub async fn audit(ops: web::Data<Ops>, whose: web::Query<Whose>) -> Result<HttpResponse, ApiError> {
    let tenant = match &whose.tenant {
        Some(name) => found(&ops, name).await?.id,
        None => SERVER.0,
    };
    let asked = Asked { limit: whose.limit, before: whose.before };
    let links = ops.store.audited(tenant, asked.before, asked.limit()?).await?;
    Ok(HttpResponse::Ok().json(links.iter().map(record).collect::<Vec<_>>()))
}
