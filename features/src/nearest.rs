//! The word that someone probably meant: every refusal of an unknown name offers it.

/// The candidate nearest to `word`, if near enough to be worth offering: at most a third of its letters differ.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    if word.len() > 128 {
        return None;
    }
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (farness(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A beginning (`bool`) is as near as one slip.
fn farness(word: &str, candidate: &str) -> usize {
    if word.len() >= 3 && candidate.starts_with(word) {
        usize::from(word != candidate)
    } else {
        distance(word, candidate)
    }
}

/// Letters to insert, drop, replace, or swap with their neighbour, to make one word the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = above[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const WORDS: [&str; 4] = ["amount", "monthly_income", "age", "term_months"];

    #[test]
    fn a_slip_of_the_keys_finds_its_word() {
        assert_eq!(nearest("amuont", WORDS), Some("amount"));
        assert_eq!(nearest("montly_income", WORDS), Some("monthly_income"));
        assert_eq!(nearest("Age", WORDS), Some("age"));
        assert_eq!(nearest("term", WORDS), Some("term_months"));
    }

    #[test]
    fn a_word_unlike_any_gets_no_offer() {
        assert_eq!(nearest("counterparty", WORDS), None);
        assert_eq!(nearest("", WORDS), None);
    }
}
