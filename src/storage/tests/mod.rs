//! Whole-room tests, by intent.
