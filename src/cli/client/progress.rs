//! One bar for the whole job, in verified bytes: it never goes backwards and never claims more than
//! the receiver has checked. With `--json`, the same as objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::task::JoinHandle;

use super::remote::Access;
use crate::cli::Ui;
use sealane_base::types::size::human;
use sealane_client::session::SessionError;
use sealane_client::{self as client, ProgressStream};
use sealane_protocol::transfer::Meter;

/// Redraws a second.
const RATE: u8 = 10;
/// Between two objects.
const PERIOD: Duration = Duration::from_secs(1);

/// Draws a meter until it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    shown: Shown,
    meter: Arc<Meter>,
    draws: bool,
    task: Option<JoinHandle<()>>,
}

/// What is drawn.
#[derive(Clone, Debug)]
struct Shown {
    ui: Ui,
    bar: ProgressBar,
    /// Bytes of files that are complete.
    durable: Arc<AtomicU64>,
    /// Those are what the bar shows.
    by_durable: bool,
    /// Columns that it was fitted to last.
    width: Arc<AtomicU32>,
}

/// How much there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Everything,
    WithoutRemark,
    Short,
    Percent,
}

impl Width {
    /// What fits into so many columns, with the longest values and a bar that can be seen.
    fn of(columns: u16) -> Self {
        match columns {
            108.. => Self::Everything,
            76.. => Self::WithoutRemark,
            36.. => Self::Short,
            _ => Self::Percent,
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Everything => {
                "{wide_bar} {percent:>3}%  {binary_bytes} of {binary_total_bytes}  \
                 {binary_bytes_per_sec}  {eta} left{msg}"
            }
            Self::WithoutRemark => {
                "{wide_bar} {percent:>3}%  {binary_bytes} of {binary_total_bytes}  \
                 {binary_bytes_per_sec}  {eta} left"
            }
            Self::Short => "{wide_bar} {percent:>3}%  {eta} left",
            Self::Percent => "{percent:>3}%",
        }
    }
}

impl Progress {
    /// Draws `meter` on stderr as the bar of `access`, which was hidden until now, if its terminal
    /// draws at all; from when the login has succeeded.
    pub(super) fn start(
        access: &Access,
        meter: Arc<Meter>,
        login: impl Future<Output = Result<(), SessionError>> + Send + 'static,
    ) -> Self {
        let (ui, bar, by_durable) = (access.ui, access.bar.clone(), access.durable_progress);
        let (durable, width) = (Arc::default(), Arc::default());
        let shown = Shown { ui, bar, durable, by_durable, width };
        let draws = ui.draws();
        let (told, stream_of) = (shown.clone(), meter.clone());
        let task = (draws || (ui.json && !ui.quiet)).then(|| {
            tokio::spawn(async move {
                if login.await.is_err() {
                    return;
                }
                let period = if draws { PERIOD / u32::from(RATE) } else { PERIOD };
                let mut stream = ProgressStream::new(stream_of, period);
                if draws {
                    told.show();
                }
                loop {
                    let now = stream.next().await;
                    if draws { told.draw(now) } else { told.tell(now) }
                }
            })
        });
        Self { shown, meter, draws, task }
    }

    /// A file of `bytes` bytes is complete.
    pub(super) fn landed(&self, bytes: u64) {
        self.shown.durable.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Runs `print` with the bar out of the way.
    pub(super) fn around(&self, print: impl FnOnce()) {
        self.shown.bar.suspend(print);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        if self.draws {
            self.shown.draw(ProgressStream::now(&self.meter));
            self.shown.bar.finish_and_clear();
        }
    }
}

impl Shown {
    fn show(&self) {
        self.bar.set_length(0);
        self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(RATE));
        self.fit();
    }

    /// Shows what fits into a line of the terminal as wide as it is now: one that were broken could
    /// not be drawn over.
    fn fit(&self) {
        let columns = Ui::columns();
        let width = Width::of(columns);
        if self.width.swap(columns.into(), Ordering::Relaxed) == u32::from(columns) {
            return;
        }
        if let Ok(style) = ProgressStyle::with_template(width.template()) {
            self.bar.set_style(style);
        }
    }

    fn durable(&self, now: client::Progress) -> u64 {
        self.durable.load(Ordering::Relaxed).min(now.total)
    }

    fn draw(&self, now: client::Progress) {
        self.fit();
        self.bar.set_length(now.total);
        self.bar.set_position(if self.by_durable { self.durable(now) } else { now.verified });
        if now.unchanged > 0 {
            self.bar.set_message(format!("  ({} unchanged)", human(now.unchanged)));
        }
    }

    fn tell(&self, now: client::Progress) {
        self.ui.object(&json!({
            "type": "progress", "verified": now.verified, "durable": self.durable(now),
            "total": now.total, "held": now.unchanged,
        }));
    }
}
