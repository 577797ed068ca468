//! What is answered when something cannot be done: a status, and a body of RFC 9457.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use sealane_base::files::StorageError;
use sealane_base::types::path::PathError;
use sealane_core::service::LoginRefusal;

/// A request that was not done, and why.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// The last word of its type, `urn:sealane:problem:…`.
    pub(super) kind: &'static str,
    pub(super) detail: String,
    pub(super) header: Option<(HeaderName, HeaderValue)>,
}

const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Basic realm=\"sealane\", charset=\"UTF-8\"");

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), header: None }
    }

    pub(super) fn bad_request(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    pub(super) fn not_found() -> Self {
        StorageError::NotFound.into()
    }

    pub(super) fn precondition() -> Self {
        let detail = "the file is not as the request expects it";
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail)
    }

    pub(super) fn unauthorized(detail: &str) -> Self {
        let header = Some((WWW_AUTHENTICATE, CHALLENGE));
        Self { header, ..Self::new(StatusCode::UNAUTHORIZED, "login-refused", detail) }
    }

    pub(super) fn busy(detail: &str) -> Self {
        let header = Some((RETRY_AFTER, HeaderValue::from_static("1")));
        Self { header, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail) }
    }

    /// `methods` are those that the resource has.
    pub(super) fn method_not_allowed(methods: &'static str) -> Self {
        let header = Some((hyper::header::ALLOW, HeaderValue::from_static(methods)));
        let detail = "this cannot be done here";
        Self { header, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail) }
    }

    /// The body.
    pub(super) fn to_json(&self) -> String {
        let title = self.status.canonical_reason().unwrap_or("failed");
        serde_json::json!({
            "type": format!("urn:sealane:problem:{}", self.kind),
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        })
        .to_string()
    }
}

impl From<PathError> for Problem {
    fn from(error: PathError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-path", error.to_string())
    }
}

impl From<LoginRefusal> for Problem {
    fn from(refusal: LoginRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            LoginRefusal::Busy => Self::busy(&text),
            LoginRefusal::Internal => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
            }
            LoginRefusal::Key | LoginRefusal::Password | LoginRefusal::ResetRequired => {
                Self::unauthorized(&text)
            }
            LoginRefusal::TooManyFailures { wait } => {
                let seconds = wait.as_millis().div_ceil(1000);
                let header = HeaderValue::try_from(seconds.to_string()).ok();
                let header = header.map(|value| (RETRY_AFTER, value));
                let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-failures", text);
                Self { header, ..problem }
            }
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        use StorageError as E;
        let (status, kind) = match &error {
            E::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            E::NotDirectory => (StatusCode::CONFLICT, "not-a-directory"),
            E::Path(_) | E::Reserved | E::TooDeep => (StatusCode::BAD_REQUEST, "bad-path"),
            E::Forbidden => (StatusCode::FORBIDDEN, "not-permitted"),
            E::Denied | E::NotRegular | E::Root | E::IntoItself | E::OtherFileSystem => {
                (StatusCode::FORBIDDEN, "refused")
            }
            E::IsDirectory => (StatusCode::METHOD_NOT_ALLOWED, "is-a-directory"),
            E::Exists => (StatusCode::CONFLICT, "exists"),
            E::NotEmpty => (StatusCode::CONFLICT, "not-empty"),
            E::InUse | E::Superseded => (StatusCode::CONFLICT, "superseded"),
            E::Changed => (StatusCode::CONFLICT, "changed"),
            E::HomeConflict => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            E::Quota { .. } => (StatusCode::INSUFFICIENT_STORAGE, "quota"),
            E::TooManyFiles { .. } => (StatusCode::INSUFFICIENT_STORAGE, "too-many-files"),
            E::TooManyPartials { .. } => (StatusCode::INSUFFICIENT_STORAGE, "too-many-partials"),
            E::DiskFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "disk-full"),
            E::LargerThanAllowed => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            E::DataDirectory { .. } | E::Io(_) | E::OverDeep { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        let detail = match &error {
            // What the system says is for the log.
            E::DataDirectory { .. } | E::Io(_) | E::OverDeep { .. } => {
                tracing::warn!(%error, "https: a request failed");
                "internal error of the server".to_owned()
            }
            told => told.to_string(),
        };
        Self::new(status, kind, detail)
    }
}
