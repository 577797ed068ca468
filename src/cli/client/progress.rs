//! One bar for the whole job, in verified bytes: it never goes backwards and never claims more than
//! the receiver has checked.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use crate::cli::Ui;
use crate::transfer::Meter;

/// Redraws a second.
const RATE: u8 = 10;

/// Draws a meter until it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    meter: Arc<Meter>,
    task: Option<JoinHandle<()>>,
}

impl Progress {
    /// Draws `meter` on stderr as `bar`, which was hidden until now, if `ui` draws at all.
    pub(super) fn start(ui: Ui, bar: ProgressBar, meter: Arc<Meter>) -> Self {
        if !ui.draws() {
            return Self { bar, meter, task: None };
        }
        bar.set_length(0);
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(RATE));
        let template = "{bar:32} {percent:>3}%  {binary_bytes} of {binary_total_bytes}  \
                        {binary_bytes_per_sec}  {eta} left{msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let (drawn, read) = (bar.clone(), meter.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(1000 / u64::from(RATE)));
            loop {
                ticks.tick().await;
                draw(&drawn, &read);
            }
        });
        Self { bar, meter, task: Some(task) }
    }

    /// Runs `print` with the bar out of the way.
    pub(super) fn around(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
            draw(&self.bar, &self.meter);
            self.bar.finish_and_clear();
        }
    }
}

fn draw(bar: &ProgressBar, meter: &Meter) {
    bar.set_length(meter.total_bytes());
    bar.set_position(meter.verified_bytes().min(meter.total_bytes()));
    if meter.reused_bytes() > 0 {
        let held = crate::types::size::human(meter.reused_bytes());
        bar.set_message(format!("  ({held} held already)"));
    }
}
