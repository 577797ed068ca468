//! A table of counters with a fixed number of entries, for keys that anybody can invent.
//!
//! When it is full, the entry with the least to lose makes room, and the newcomer starts from what
//! that entry had counted (the Space-Saving algorithm). So a count may be too high and is never too
//! low: filling the table makes newcomers wait sooner, and switches nothing off. It knows nothing
//! of names or addresses.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Clone, Debug)]
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, V>,
    most: usize,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.entries.retain(|_, value| keep(value));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry of `key`. One that is new is `fresh`; in a full table the entry of the lowest
    /// `rank` goes, and the new one is what `inherit` makes of it.
    pub(super) fn entry<R: Ord>(
        &mut self,
        key: K,
        fresh: V,
        rank: impl Fn(&V) -> R,
        inherit: impl FnOnce(V) -> V,
    ) -> &mut V {
        let mut first = fresh;
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            let ranked = self.entries.iter().min_by_key(|(_, value)| rank(value));
            let least = ranked.map(|(key, _)| key.clone());
            if let Some(value) = least.and_then(|key| self.entries.remove(&key)) {
                first = inherit(value);
            }
        }
        self.entries.entry(key).or_insert(first)
    }
}
