//! The API's description of itself: OpenAPI 3.1, from the handlers and the types that they answer with.
//!
//! What all routes have in common (who may use them, what can go wrong before a handler runs) is added here, from the rules that
//! the layers enforce.

use std::sync::Arc;

use axum::{
    Extension,
    http::{Method, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        ContentBuilder, Ref, RefOr, ResponseBuilder, SecurityRequirement,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::access;

const PROBLEM: &str = "application/problem+json";
/// The security scheme's name.
const KEY: &str = "api_key";

/// Wrong before any handler runs, whatever the route.
const ALWAYS: [(&str, &str); 3] = [
    ("400", "The request's form is wrong: its path, its query or a header."),
    ("500", "An error of the node; its log has it under the `request_id`."),
    ("503", "The node cannot answer now; `Retry-After` says when to try again."),
];
/// Where a key is asked for.
const GUARDED: [(&str, &str); 3] = [
    ("401", "No API key, or none of this node's."),
    ("403", "The key's role does not include this."),
    ("429", "The key has sent too many requests; `Retry-After` says when the next is taken."),
];
/// Where a body is read.
const WITH_BODY: [(&str, &str); 4] = [
    ("413", "The body is larger than the node reads."),
    ("415", "The body is not `application/json`."),
    ("422", "The body's content is wrong; `errors` names each field."),
    (
        "504",
        "The node did not answer in time; the request may have been carried out. Repeat it with the same key, or look.",
    ),
];

/// What the API is.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Threshold Bitcoin wallet",
        description = "One node of a cluster that owns a Bitcoin wallet together. Any node takes payments; all nodes check them. \
                       Amounts are satoshis, times are RFC 3339 in UTC, txids are written as block explorers show them. \
                       Errors are RFC 9457 problems with a stable `code`.",
    ),
    tags(
        (name = "wallet", description = "Money and where to send it."),
        (name = "transactions", description = "Payments."),
        (name = "keys", description = "Key generation and presignatures."),
        (name = "cluster", description = "The nodes, and what they did wrong."),
        (name = "events", description = "What happens, as it happens."),
        (name = "operations", description = "Probes and metrics."),
    ),
    components(schemas(ProblemDocument)),
)]
pub(super) struct Description;

/// An error (RFC 9457). Some codes add members with the numbers behind the sentence.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
#[allow(dead_code, reason = "the schema of what `Problem` writes")]
struct ProblemDocument {
    r#type: String,
    title: String,
    status: u16,
    /// For people.
    detail: String,
    /// The path asked for.
    instance: String,
    /// For programs; stable.
    code: String,
    /// As in the header `X-Request-Id` and in the node's log.
    request_id: String,
    /// What is wrong with the request, all at once.
    errors: Option<Vec<FieldProblem>>,
}

/// One thing wrong with a request.
#[derive(Serialize, ToSchema)]
#[schema(as = FieldProblem)]
#[allow(dead_code, reason = "the schema of what `Problem` writes")]
struct FieldProblem {
    /// JSON pointer into the body, or the name of a query parameter or header.
    pointer: String,
    message: String,
}

/// The description as it is served.
#[derive(Clone)]
pub(super) struct Text(Arc<str>);

impl Text {
    /// Completes the description of these routes.
    pub(super) fn of(mut description: utoipa::openapi::OpenApi) -> Self {
        complete(&mut description);
        Self(description.to_json().unwrap_or_default().into())
    }
}

/// Describes the API
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "operations",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object)),
)]
pub(super) async fn document(Extension(Text(text)): Extension<Text>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}

fn complete(description: &mut utoipa::openapi::OpenApi) {
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An API key made by `mpc-wallet-cli key create`. A node without a key file asks for none.",
        ))
        .build();
    let components = description.components.get_or_insert_default();
    components.add_security_scheme(KEY, SecurityScheme::Http(key));
    for (path, item) in &mut description.paths.paths {
        for (method, operation) in operations(item) {
            if method == Method::GET {
                add_not_modified(operation);
            }
            complete_operation(operation, access::required(&method, path));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let get = item.get.as_mut().map(|operation| (Method::GET, operation));
    let post = item.post.as_mut().map(|operation| (Method::POST, operation));
    get.into_iter().chain(post)
}

/// JSON documents that are read have a tag.
fn add_not_modified(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    let read = responses.get("200");
    if matches!(read, Some(RefOr::T(response)) if response.content.contains_key("application/json")) {
        let same =
            ResponseBuilder::new().description("The document has the tag given in `If-None-Match`.").build();
        responses.insert("304".to_owned(), RefOr::T(same));
    }
}

fn complete_operation(operation: &mut Operation, role: Option<crate::access::Role>) {
    let guarded = role.map_or(&GUARDED[..0], |_| &GUARDED);
    let with_body = operation.request_body.as_ref().map_or(&WITH_BODY[..0], |_| &WITH_BODY);
    for (status, says) in ALWAYS.iter().chain(guarded).chain(with_body) {
        operation
            .responses
            .responses
            .entry((*status).to_owned())
            .or_insert_with(|| RefOr::T(ResponseBuilder::new().description(*says).build()));
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
            && response.content.is_empty()
        {
            let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            response.content.insert(PROBLEM.to_owned(), problem.into());
        }
    }
    operation.security = Some(match role {
        Some(_) => vec![SecurityRequirement::new::<_, [&str; 0], &str>(KEY, [])],
        None => Vec::new(),
    });
    if let Some(role) = role {
        let asks = format!("Asks for the role {}.", role.name());
        let said = operation.description.take().unwrap_or_default();
        operation.description = Some(if said.is_empty() { asks } else { format!("{said}\n\n{asks}") });
    }
}
