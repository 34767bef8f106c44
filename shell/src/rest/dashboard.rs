//! The web dashboard: files of `shell/dashboard`, part of this binary, served as they are.
//!
//! The pages may load nothing but what this node serves and run nothing that is not a file of theirs: the content
//! security policy says so, and everything they show of the cluster comes from the API like everybody's.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::{etag::Tag, no_route, problem::Problem};

/// No inline script or style, no other origin, no frame around the pages, no form that leaves them. Images may come from
/// `blob:`, for those that are asked for with an API key.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// A browser may keep the files but must ask whether they are still good: the next version has the same addresses.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_bytes!(concat!("../../dashboard/", $path)).as_slice())),+]
    };
}

static FILES: LazyLock<BTreeMap<&'static str, File>> = LazyLock::new(|| {
    let files = files![
        "css/charts.css",
        "css/forms.css",
        "css/frame.css",
        "css/parts.css",
        "css/payment.css",
        "css/theme.css",
        "icon.svg",
        "icons.svg",
        "index.html",
        "js/act.js",
        "js/amount.js",
        "js/api.js",
        "js/charts.js",
        "js/choices.js",
        "js/connection.js",
        "js/csv.js",
        "js/dom.js",
        "js/door.js",
        "js/draft.js",
        "js/early.js",
        "js/fees.js",
        "js/field.js",
        "js/format.js",
        "js/frozen.js",
        "js/key.js",
        "js/live.js",
        "js/main.js",
        "js/map.js",
        "js/parts.js",
        "js/router.js",
        "js/stream.js",
        "js/theme.js",
        "js/wallets.js",
        "js/warnings.js",
        "js/words.js",
        "pages/approvals.js",
        "pages/cluster.js",
        "pages/cluster/freeze.js",
        "pages/history.js",
        "pages/overview.js",
        "pages/receive.js",
        "pages/send.js",
        "pages/send/fee.js",
        "pages/send/form.js",
        "pages/send/notice.js",
        "pages/send/quote.js",
        "pages/send/review.js",
        "pages/transaction.js",
        "pages/transaction/approval.js",
        "pages/transaction/content.js",
        "pages/transaction/fee.js",
        "pages/transaction/life.js",
        "pages/transaction/votes.js",
        "pages/violations.js",
    ];
    files.into_iter().map(|(path, content)| (path, File::new(path, content))).collect()
});

struct File {
    media_type: &'static str,
    content: &'static [u8],
    tag: Tag,
}

impl File {
    fn new(path: &str, content: &'static [u8]) -> Self {
        Self { media_type: media_type(path), content, tag: Tag::of(content) }
    }

    fn response(&self, asked: &HeaderMap) -> Response {
        let mut response = if self.tag.is_known(asked) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, self.media_type)], self.content).into_response()
        };
        let headers = response.headers_mut();
        headers.extend(guards());
        self.tag.write(headers);
        response
    }
}

/// `GET /`
pub(super) async fn page(asked: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    serve("index.html", &asked, uri).await
}

/// `GET /dashboard/{path}`
pub(super) async fn asset(Path(path): Path<String>, asked: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    serve(&path, &asked, uri).await
}

async fn serve(path: &str, asked: &HeaderMap, uri: Uri) -> Result<Response, Problem> {
    match FILES.get(path) {
        Some(file) => Ok(file.response(asked)),
        None => Err(no_route(uri).await),
    }
}

fn guards() -> [(HeaderName, HeaderValue); 4] {
    [
        (header::CACHE_CONTROL, REVALIDATE),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ]
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
