//! `DELETE`: a file, or a directory with all in it.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderMap;

use super::answer::{Answer, nothing};
use super::conditions::{self, Present};
use super::place::Place;
use super::problem::Problem;
use sealane_core::service::Login;

/// Answers `DELETE`. A directory vanishes in one step, before anything in it is deleted.
pub(super) async fn serve(
    login: &Arc<Login>,
    place: Place,
    headers: &HeaderMap,
) -> Result<Answer, Problem> {
    let (home, has_conditions) = (Arc::clone(login.home()), conditions::are_any(headers));
    let headers = headers.clone();
    let remove = move || {
        if has_conditions {
            let entry = home.stat(&place.path)?;
            let present = Present { version: Some(entry.version), modified: entry.modified };
            conditions::check(&headers, present, false).map_err(|_| Problem::precondition())?;
        }
        home.remove(&place.path, true)?;
        Ok::<_, Problem>(())
    };
    login.queue().run_long(remove).await?;
    Ok(nothing(StatusCode::NO_CONTENT))
}
