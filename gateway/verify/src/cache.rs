//! A bounded map by digest that forgets what has not been asked for longest, in two generations.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use gateway_model::Digest;

/// The map. A full young generation becomes the old one; what is asked for moves back into the young one.
#[derive(Debug)]
pub struct Cache<V> {
    generations: RwLock<Generations<V>>,
    generation_entries_max: usize,
}

#[derive(Debug)]
struct Generations<V> {
    young: HashMap<Digest, V>,
    old: HashMap<Digest, V>,
}

impl<V: Clone> Cache<V> {
    /// Holds at most `entries_max`.
    pub fn new(entries_max: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Self {
            generations: RwLock::new(generations),
            generation_entries_max: entries_max.checked_div(2).unwrap_or(0).max(1),
        }
    }

    /// Puts `value`; an earlier one for the same key is replaced.
    pub fn insert(&self, key: Digest, value: V) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= self.generation_entries_max {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, value);
    }

    /// Finds the value of `key`.
    pub fn find(&self, key: &Digest) -> Option<V> {
        let aged = {
            let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(value) = generations.young.get(key) {
                return Some(value.clone());
            }
            generations.old.get(key).cloned()?
        };
        self.insert(*key, aged.clone());
        Some(aged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_its_bound_and_keeps_what_is_asked_for() {
        let cache = Cache::new(8);
        let key = |n: u32| Digest::of(&n.to_be_bytes());
        for n in 0..1_000 {
            cache.insert(key(n), n);
            assert_eq!(cache.find(&key(0)), Some(0), "asked for at every step");
        }
        let generations = cache.generations.read().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 8);
    }
}
