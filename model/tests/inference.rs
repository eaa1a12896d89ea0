//! Inference gives what the trees say, one row or many.

use cauce_model::{ModelError, OnnxModel};

use crate::support::Fixture;
use crate::support::forest::Random;

#[test]
fn a_row_alone_and_in_any_batch_gives_the_same_bits() {
    for fixture in [Fixture::new(50, 16, 12), Fixture::new(50, 16, 12).with_regressor()] {
        let mut model = OnnxModel::new(&fixture.load().expect("a sound bundle")).expect("a session");
        let rows = Random::new(3).rows(300, 12);
        let alone: Vec<f32> =
            rows.chunks_exact(12).map(|row| model.probabilities(row).expect("a probability")[0]).collect();
        for size in [1, 2, 7, 64, 300] {
            let batched = rows.chunks(12 * size).flat_map(|rows| model.probabilities(rows).expect("one each").to_vec());
            assert_eq!(batched.collect::<Vec<_>>(), alone, "in batches of {size}");
        }
        for (row, probability) in rows.chunks_exact(12).zip(&alone) {
            assert!((fixture.forest.probability(row) - probability).abs() < 1e-6);
        }
    }
}

#[test]
fn what_is_not_made_of_whole_rows_is_refused() {
    let mut model = OnnxModel::new(&Fixture::new(3, 4, 5).load().expect("a sound bundle")).expect("a session");
    assert!(model.probabilities(&[]).expect("nothing to do").is_empty());
    assert!(matches!(model.probabilities(&[0.0; 7]), Err(ModelError::Shape { given: 7, width: 5 })));
}
