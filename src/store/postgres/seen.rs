//! Every statement that was prepared in this process of tests: what is explained must be what runs.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

static SEEN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

pub(super) fn note(sql: &'static str) {
    SEEN.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(sql);
}
