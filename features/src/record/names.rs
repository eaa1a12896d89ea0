//! Which field a key means: a small open-addressed table, because keys come in any order and 23 comparisons add up.

use xxhash_rust::xxh3::xxh3_64;

/// Names and aliases of a record's fields.
#[derive(Debug)]
pub(crate) struct Names {
    /// A power of two, at most half full.
    table: Box<[Entry]>,
}

/// A name and its field.
type Entry = Option<(Box<str>, usize)>;

impl Names {
    /// A name that occurs twice means its first field.
    pub(crate) fn new<'a>(names: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let names: Vec<_> = names.collect();
        let mut table = vec![None; (names.len() * 2).next_power_of_two()].into_boxed_slice();
        for (name, index) in names {
            let place = Self::place(&table, name);
            table[place].get_or_insert_with(|| (name.into(), index));
        }
        Self { table }
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.table[Self::place(&self.table, name)].as_ref().map(|(_, index)| *index)
    }

    /// Where the name stands or would stand; the table is never full.
    fn place(table: &[Entry], name: &str) -> usize {
        let mask = table.len() - 1;
        let mut place = xxh3_64(name.as_bytes()) as usize & mask;
        while table[place].as_ref().is_some_and(|(known, _)| **known != *name) {
            place = (place + 1) & mask;
        }
        place
    }
}
