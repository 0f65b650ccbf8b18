//! Golden rows: what the graphs said where the bundle was made.

use std::sync::Arc;

use super::{BundleError, Correction, Head, HeadError, Memory, OUTPUTS, encode::Context, memory::Engine};
use crate::inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH, QueryInputs, StaticInputs};

/// Fewest rows that say something of a graph.
const FEWEST: usize = 32;
/// What outputs may differ by: kernels add up in another order on other processors.
const TOLERANCE: f32 = 1e-3;

#[derive(serde::Deserialize)]
struct File {
    rows: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    model: Vec<f32>,
    hardware: Vec<f32>,
    profile: Vec<f32>,
    #[serde(default)]
    model_text: String,
    #[serde(default)]
    hardware_text: String,
    #[serde(default)]
    workload_text: String,
    query: Vec<f32>,
    prediction: Vec<f32>,
}

/// That of a text.
type Vector = Arc<[f32]>;

/// The rows, as the graphs take them.
pub(super) struct Golden {
    pub(super) engines: Vec<Engine>,
    pub(super) queries: Vec<QueryInputs>,
    expected: Vec<Correction>,
}

impl Golden {
    /// `content` is that of `golden.json`; `vector` gives that of a text, where the bundle has one.
    pub(super) fn new(content: &[u8], vector: impl Fn(&str) -> Option<Vector>) -> Result<Self, BundleError> {
        let invalid = |problem: String| BundleError::Data { file: "golden.json", problem };
        let file: File = serde_json::from_slice(content).map_err(|error| invalid(error.to_string()))?;
        if file.rows.len() < FEWEST {
            return Err(invalid(format!("it has {} rows; {FEWEST} are the fewest", file.rows.len())));
        }
        let mut golden = Self { engines: Vec::new(), queries: Vec::new(), expected: Vec::new() };
        for (at, row) in file.rows.iter().enumerate() {
            golden.push(row, &vector).map_err(|problem| invalid(format!("row {at}: {problem}")))?;
        }
        Ok(golden)
    }

    fn push(&mut self, row: &Row, vector: impl Fn(&str) -> Option<Vector>) -> Result<(), String> {
        let text = |text: &str| {
            vector(text).ok_or_else(|| format!("vectors.json has no vector of its text {text:?}"))
        };
        let statics = StaticInputs {
            model: array::<{ MODEL.len() }>("model", &row.model)?,
            hardware: array::<{ HARDWARE.len() }>("hardware", &row.hardware)?,
            profile: array::<{ PROFILE.len() }>("profile", &row.profile)?,
        };
        let texts = [text(&row.model_text)?, text(&row.hardware_text)?, text(&row.workload_text)?];
        self.engines.push(Engine { statics, texts });
        self.queries.push(array::<QUERY_WIDTH>("query", &row.query)?);
        self.expected.push(array::<{ OUTPUTS.len() }>("prediction", &row.prediction)?.into());
        Ok(())
    }

    /// Replays the rows: all at once, and the first by itself.
    pub(super) fn replay(&self, context: &Context, head: &mut Head) -> Result<Vec<Memory>, BundleError> {
        let memories = context.encode(&self.engines)?;
        let engines: Vec<_> = memories.iter().collect();
        let mut found = Vec::new();
        for count in [engines.len(), 1] {
            head.correct(&engines[..count], &self.queries[..count], &mut found)
                .map_err(|error| refused(&error))?;
            self.compare(&found)?;
        }
        Ok(memories)
    }

    fn compare(&self, found: &[Correction]) -> Result<(), BundleError> {
        for (row, (found, expected)) in found.iter().zip(&self.expected).enumerate() {
            let pairs = found.to_array().into_iter().zip(expected.to_array());
            for (output, (found, expected)) in OUTPUTS.into_iter().zip(pairs) {
                // Written so that NaN fails.
                let near = (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
                if !near {
                    return Err(BundleError::Golden { row, output, found, expected });
                }
            }
        }
        Ok(())
    }
}

fn refused(error: &HeadError) -> BundleError {
    let problem = match error {
        HeadError::Absurd { row, output, value } => {
            format!("its {output} of golden row {row} is {value}; outputs are natural logs, and finite")
        }
        HeadError::Run(_) | HeadError::Size { .. } => error.to_string(),
    };
    BundleError::Graph { file: super::graph::REGRESSOR, problem }
}

fn array<const N: usize>(name: &str, values: &[f32]) -> Result<[f32; N], String> {
    if values.iter().any(|value| !value.is_finite()) {
        return Err(format!("{name} has numbers that are not finite"));
    }
    values.try_into().map_err(|_| format!("{name} has {} numbers, not {N}", values.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        let row = json!({
            "model": vec![0.5; MODEL.len()], "hardware": vec![0.5; HARDWARE.len()], "profile": vec![0.5; PROFILE.len()],
            "query": vec![0.5; QUERY_WIDTH], "prediction": vec![0.5; OUTPUTS.len()],
        });
        json!({"rows": vec![row; FEWEST]})
    }

    /// What is said of rows that are no good, where no text but the empty one has a vector.
    fn problem(content: &[u8]) -> Option<String> {
        let vector = |text: &str| text.is_empty().then(|| Arc::from([0.0; 0]));
        Golden::new(content, vector).err().map(|error| error.to_string())
    }

    proptest! {
        // Each case reads all rows.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_bytes_are_refused_by_the_files_name(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let problem = problem(&content).unwrap();
            prop_assert!(problem.starts_with("golden.json: "), "{}", problem);
        }

        #[test]
        fn damaged_rows_are_refused_or_whole(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut content = good().to_string().into_bytes();
            let at = at.index(content.len());
            if cut { content.truncate(at) } else { content[at] = byte }
            if let Some(problem) = problem(&content) {
                prop_assert!(problem.starts_with("golden.json: "), "{}", problem);
            }
        }

        #[test]
        fn a_row_that_is_wrong_is_named(
            row in 0..FEWEST,
            field in prop::sample::select(vec!["model", "hardware", "profile", "query", "prediction"]),
            more in any::<bool>(),
        ) {
            let mut golden = good();
            let numbers = golden["rows"][row][field].as_array_mut().unwrap();
            if more { numbers.push(json!(1.0)) } else { drop(numbers.pop()) }
            let problem = problem(golden.to_string().as_bytes()).unwrap();
            prop_assert!(problem.contains(&format!("row {row}: {field} has ")), "{}", problem);
        }
    }

    #[test]
    fn good_ones_are_taken_and_a_text_needs_its_vector() {
        let mut golden = good();
        assert_eq!(problem(golden.to_string().as_bytes()), None);
        golden["rows"][3]["model_text"] = "who?".into();
        let problem = problem(golden.to_string().as_bytes()).unwrap();
        assert!(problem.contains("row 3: vectors.json has no vector of its text \"who?\""), "{problem}");
    }
}
