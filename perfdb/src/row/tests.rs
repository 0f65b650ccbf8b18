use std::collections::HashMap;

use super::*;
use crate::{columns, example};

struct Held<'a>(HashMap<&'static str, Cell<'a>>);

impl Cells for Held<'_> {
    fn cell(&self, column: &str) -> Cell<'_> {
        self.0.get(column).cloned().unwrap_or(Cell::Null)
    }
}

fn cells(row: &Observation) -> Held<'_> {
    Held(columns().map(|column| (column.name, column.cell(row))).collect())
}

#[test]
fn a_row_comes_back_from_its_cells() {
    for row in example::rows() {
        assert_eq!(Observation::of_cells(&cells(&row)).unwrap(), row);
    }
}

#[test]
fn every_required_column_is_required_and_no_other() {
    // The last one has every optional value.
    let row = example::rows().pop().unwrap();
    for column in columns() {
        let mut held = cells(&row);
        assert!(
            held.0.insert(column.name, Cell::Null).is_some_and(|cell| cell != Cell::Null),
            "{}",
            column.name
        );
        let without = Observation::of_cells(&held);
        // What describes a part comes with the part: a window's tokens with its layers.
        let goes_with = [
            "model_sliding_window_tokens",
            "model_experts_active",
            "model_experts_parameters_b",
            "knob_speculative_tokens",
            "route",
            "stream",
            "attempt",
            "objective",
            "considered",
            "typical_uncached_tokens",
            "typical_output_tokens",
            "propensity",
            "explored",
            "predicted_tpot_s",
            "predicted_e2e_s",
            "prior_ttft_s",
            "prior_tpot_s",
            "prior_e2e_s",
            "ended",
        ];
        let needed = column.required || goes_with.contains(&column.name);
        assert_eq!(without.is_err(), needed, "{}", column.name);
        assert!(without.is_ok_and(|without| without != row) || needed, "{} is not read", column.name);
    }
}

#[test]
fn problems_name_the_column() {
    let rows = example::rows();
    let refused = |column, cell| {
        let mut held = cells(&rows[0]);
        held.0.insert(column, cell);
        Observation::of_cells(&held).unwrap_err().to_string()
    };
    assert_eq!(refused("model_layers", Cell::Whole(-1)), "column model_layers: -1 is out of range");
    assert_eq!(refused("ttft_s", Cell::Flag(true)), "column ttft_s: is no number");
    let words = "column engine: \"ollama\" is none of vllm, sglang, trtllm";
    assert_eq!(refused("engine", Cell::Text("ollama".into())), words);
}
