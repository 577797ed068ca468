//! The controller on simulated links.

use std::time::{Duration, Instant};

use super::controller::{Controller, Step};
use sealane_protocol::transfer::Progress;

const TICK: Duration = Duration::from_millis(100);
const SETTLE: Duration = Duration::from_millis(400);
const MBIT: f64 = 1e6 / 8.0;

/// A link whose rate in bytes per second depends on the number of connections, moved along tick by
/// tick.
struct Link<F: FnMut(usize, Duration) -> f64> {
    controller: Controller,
    rate: F,
    start: Instant,
    now: Instant,
    connections: usize,
    sent: f64,
    progress: Progress,
    /// Every change: when, and how many connections there were then.
    changes: Vec<(f64, usize)>,
    /// Of the file that is moved.
    size: u64,
}

impl<F: FnMut(usize, Duration) -> f64> Link<F> {
    fn new(rate: F) -> Self {
        Self::with(Controller::new(SETTLE, false), rate)
    }

    fn far(rate: F) -> Self {
        Self::with(Controller::new(SETTLE, true), rate)
    }

    fn with(controller: Controller, rate: F) -> Self {
        let (start, progress, changes) = (Instant::now(), Progress::default(), Vec::new());
        let (now, connections, sent, size) = (start, 1, 0.0, 1 << 30);
        Self { controller, rate, start, now, connections, sent, progress, changes, size }
    }

    /// What arrives is counted by the chunk.
    fn run(&mut self, seconds: u64, is_moving: bool) {
        for _ in 0..seconds * 10 {
            self.now += TICK;
            if is_moving {
                let rate = (self.rate)(self.connections, self.now - self.start);
                self.sent += rate * TICK.as_secs_f64();
                let chunks = (self.sent / f64::from(1 << 20)) as u64;
                if chunks << 20 != self.progress.bytes {
                    let late = (self.sent - (chunks << 20) as f64) / rate;
                    let at = Some(self.now - Duration::from_secs_f64(late));
                    self.progress = Progress { bytes: chunks << 20, at };
                }
            }
            let step = {
                let largest = is_moving.then_some(self.size);
                self.controller.tick(self.now, self.progress, largest, self.connections)
            };
            match step {
                Step::Stay => continue,
                Step::Open(more) => self.connections += more,
                Step::Close(fewer) => self.connections -= fewer,
            }
            assert!((1..=16).contains(&self.connections));
            let at = (self.now - self.start).as_secs_f64();
            self.changes.push((at, self.connections));
        }
    }

    fn most(&self) -> usize {
        self.changes.iter().map(|(_, count)| *count).max().unwrap_or(1)
    }
}

#[test]
fn a_short_transfer_has_one_connection() {
    let mut link = Link::new(|count, _| count as f64 * 50.0 * MBIT);
    link.run(1, true);
    assert_eq!(link.changes, []);
}

#[test]
fn where_each_brings_as_much_there_are_sixteen_within_seconds() {
    let mut link = Link::new(|count, _| count as f64 * 20.0 * MBIT);
    link.run(20, true);
    assert_eq!(link.connections, 16);
    let counts: Vec<_> = link.changes.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [2, 4, 8, 16]);
    assert!(link.changes[0].0 < 3.0 && link.changes[3].0 < 12.0, "{:?}", link.changes);
}

#[test]
fn a_link_that_two_fill_has_two() {
    let mut link = Link::new(|count, _| (count as f64 * 55.0).min(100.0) * MBIT);
    link.run(60, true);
    assert_eq!(link.connections, 2, "{:?}", link.changes);
    assert!(link.most() <= 4);
}

#[test]
fn a_link_that_one_fills_has_one_and_is_seldom_tried() {
    let mut link = Link::new(|_, _| 100.0 * MBIT);
    link.run(600, true);
    assert_eq!((link.connections, link.most()), (1, 2));
    assert!(link.changes.len() <= 14, "{:?}", link.changes);
}

#[test]
fn where_more_connections_bring_less_there_is_one() {
    let mut link = Link::new(|count, _| 100.0 * MBIT / count as f64);
    link.run(60, true);
    assert_eq!(link.connections, 1);
}

#[test]
fn when_the_link_changes_so_that_fewer_did_better_they_are_closed() {
    let long = Duration::from_secs(30);
    let mut link = Link::new(|count, now| match now < long {
        true => (count as f64 * 20.0).min(80.0) * MBIT,
        false => 10.0 * MBIT,
    });
    link.run(30, true);
    assert_eq!(link.connections, 4);
    link.run(600, true);
    assert!(link.connections < 4, "{:?}", link.changes);
}

#[test]
fn further_connections_end_with_the_last_transfer_and_survive_a_pause() {
    let mut link = Link::new(|count, _| count as f64 * 20.0 * MBIT);
    link.run(6, true);
    let many = link.connections;
    assert!(many > 1);
    link.run(3, false);
    assert_eq!(link.connections, many);
    link.run(3, false);
    assert_eq!(link.connections, 1);
}

#[test]
fn a_large_file_begins_with_four_on_a_far_link_and_more_are_tried_later() {
    let mut link = Link::far(|count, _| (count as f64 * 40.0).min(100.0) * MBIT);
    link.run(1, true);
    assert_eq!(link.changes, [(0.1, 4)]);
    link.run(4, true);
    assert_eq!(link.connections, 4, "{:?}", link.changes);
    link.run(30, true);
    assert_eq!((link.connections, link.most()), (4, 8), "{:?}", link.changes);
}

#[test]
fn a_small_file_begins_with_one_on_any_link() {
    let mut link = Link::far(|_, _| 20.0 * MBIT);
    link.size = (16 << 20) - 1;
    link.run(1, true);
    assert_eq!(link.changes, []);
}

#[test]
fn one_that_cannot_be_opened_is_not_asked_for_at_once_again() {
    let (mut controller, start) = (Controller::new(SETTLE, false), Instant::now());
    let mut asked = 0;
    for tick in 1..=200u32 {
        let now = start + TICK * tick;
        let progress = Progress { bytes: u64::from(tick) << 20, at: Some(now) };
        if let Step::Open(_) = controller.tick(now, progress, Some(1 << 30), 1) {
            asked += 1;
            controller.refused(now);
        }
    }
    assert!((1..=2).contains(&asked), "{asked}");
}
