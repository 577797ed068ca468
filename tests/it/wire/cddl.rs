//! The CDDL of the document against what the encoders write.

use cddl_cat::cbor::validate_cbor;
use cddl_cat::context::BasicContext;
use cddl_cat::flatten::flatten_from_str;
use ciborium::Value;
use sealane_protocol::{Kind, frame::HEADER};

use super::samples::{self, Sample};
use super::{block, document};

fn rules() -> BasicContext {
    BasicContext::new(flatten_from_str(&block(&document(), "cddl")).unwrap())
}

/// Whether `value` is what the rule of that name says, and nothing else.
fn fits(rules: &BasicContext, rule: &str, value: &Value) -> bool {
    let found = rules.rules.get(rule).unwrap_or_else(|| panic!("no rule '{rule}'"));
    validate_cbor(found, value, rules).is_ok()
}

/// The map of a message, once all with it and once none.
fn maps(sample: &Sample) -> [Value; 2] {
    [0, 1].map(|at| {
        let frame = &sample.frames[at];
        let map = &frame[HEADER..frame.len() - sample.file];
        ciborium::from_reader(map).unwrap()
    })
}

fn entries(value: &Value) -> &Vec<(Value, Value)> {
    value.as_map().unwrap()
}

/// Values of every type that a field can have; none of them is allowed where another one is.
fn of_other_types(value: &Value) -> Vec<Value> {
    let all = [
        Value::Integer(1_000_000_000_000u64.into()),
        Value::Text("text".into()),
        Value::Bytes(vec![1; 3]),
        Value::Bool(true),
        Value::Null,
        Value::Float(1.5),
        Value::Array(vec![Value::Bool(true)]),
        Value::Map(vec![(Value::Text("key".into()), Value::Bool(true))]),
    ];
    let is_same = |other: &Value| std::mem::discriminant(other) == std::mem::discriminant(value);
    all.into_iter().filter(|other| !is_same(other)).collect()
}

#[test]
fn every_message_is_what_its_rule_says() {
    let (rules, samples) = (rules(), samples::all());
    for sample in &samples {
        for (map, what) in maps(sample).iter().zip(["with all", "with none"]) {
            assert!(fits(&rules, sample.rule, map), "{} {what}: {map:?}", sample.rule);
        }
    }
    // Binary frames have no map.
    let binary = [Kind::Cancel, Kind::Ping, Kind::Pong];
    for kind in Kind::ALL.iter().filter(|kind| !kind.is_of_a_transfer() && !binary.contains(kind)) {
        let count = samples.iter().filter(|sample| sample.kind == *kind).count();
        assert_eq!(count, 1, "samples of {kind:?}");
    }
}

#[test]
fn every_key_of_a_rule_is_one_that_the_encoder_knows() {
    let text = block(&document(), "cddl");
    for sample in samples::all() {
        let rule = format!("\n{} ", sample.rule);
        let body = text.split(&rule).nth(1).and_then(|rest| rest.split('}').next()).unwrap();
        let body: String = body.lines().filter_map(|line| line.split(';').next()).collect();
        let keys = body.split([',', '{']).filter(|part| part.contains(':')).count();
        assert_eq!(keys, entries(&maps(&sample)[0]).len(), "{}", sample.rule);
    }
}

#[test]
fn a_missing_key_another_type_and_an_unknown_key_break_the_rule() {
    let rules = rules();
    for sample in samples::all() {
        let [all, none] = maps(&sample);
        for at in 0..entries(&none).len() {
            let mut shorter = entries(&none).clone();
            shorter.remove(at);
            assert!(!fits(&rules, sample.rule, &Value::Map(shorter)), "{} {at}", sample.rule);
        }
        for at in 0..entries(&all).len() {
            for other in of_other_types(&entries(&all)[at].1) {
                let mut changed = entries(&all).clone();
                changed[at].1 = other;
                let changed = Value::Map(changed);
                assert!(!fits(&rules, sample.rule, &changed), "{}: {changed:?}", sample.rule);
            }
        }
        let mut longer = entries(&all).clone();
        longer.push((Value::Integer(99.into()), Value::Bool(true)));
        assert!(!fits(&rules, sample.rule, &Value::Map(longer)), "{}", sample.rule);
    }
}

#[test]
fn numbers_and_bytes_keep_to_their_widths() {
    let rules = rules();
    let number = |number: i128| Value::Integer(number.try_into().unwrap());
    let widest = i128::from(u64::MAX);
    for (rule, most, least) in [
        ("u8", 255, 0),
        ("u16", 65_535, 0),
        ("u32", i128::from(u32::MAX), 0),
        ("u64", widest, 0),
        ("kind", 3, 0),
        ("key-state", 4, 0),
    ] {
        for good in [most, least] {
            assert!(fits(&rules, rule, &number(good)), "{rule} {good}");
        }
        for bad in [most + 1, least - 1].into_iter().filter(|bad| *bad <= widest) {
            assert!(!fits(&rules, rule, &number(bad)), "{rule} {bad}");
        }
    }
    for (length, is_good) in [(31, false), (32, true), (33, false)] {
        assert_eq!(fits(&rules, "digest", &Value::Bytes(vec![1; length])), is_good, "{length}");
    }
}

#[test]
#[should_panic(expected = "no rule 'greeting'")]
fn a_rule_that_is_not_there_is_no_rule_that_holds() {
    fits(&rules(), "greeting", &Value::Map(Vec::new()));
}
