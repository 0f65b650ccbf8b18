//! The names that an engine says it serves, as many of them as are taken in.
//!
//! Each becomes a model of the snapshot, with state of its own, a name for clients and a label in metrics: an engine whose
//! list knows no end must not take all of a Gearshift's memory, and not all of Prometheus'.

use serde::Deserialize;

/// Names taken in of one engine at most: what vLLM can load of adapters, many times over.
pub(in crate::fleet) const MOST_NAMES: usize = 1_000;
/// Longest name taken in, bytes. Those on the Hugging Face Hub have at most 96 after the owner's.
pub(in crate::fleet) const LONGEST_NAME: usize = 256;
/// Longest place of weights that is shown, bytes: as long as paths may be.
const LONGEST_ROOT: usize = 4_096;

/// One name an engine serves.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Served {
    /// The name.
    pub id: String,
    /// The model a LoRA adapter belongs to.
    pub parent: Option<String>,
    /// Where the weights came from, as the engine was told: a path or a hub name.
    pub root: Option<String>,
    /// Longest context served, tokens.
    pub max_model_len: Option<u32>,
}

/// The answer of `/v1/models`.
#[derive(Debug, Deserialize)]
pub(super) struct RawModels {
    data: Vec<RawModel>,
}

#[derive(Debug, Deserialize)]
struct RawModel {
    id: String,
    parent: Option<String>,
    root: Option<String>,
    // Other engines put what they like here.
    #[serde(default)]
    max_model_len: serde_json::Value,
}

impl RawModel {
    /// `None` where a name is too long.
    fn validate(self) -> Option<Served> {
        let Self { id, parent, root, max_model_len } = self;
        let fits = |name: &str| name.len() <= LONGEST_NAME;
        let max_model_len = max_model_len.as_u64().and_then(|length| u32::try_from(length).ok());
        let root = root.filter(|root| root.len() <= LONGEST_ROOT);
        let taken = fits(&id) && parent.as_deref().is_none_or(fits);
        taken.then_some(Served { id, parent, root, max_model_len })
    }
}

impl RawModels {
    /// What is taken in, in the engine's order (models before adapters where not all of them are), and how many are not.
    pub(super) fn validate(self) -> (Vec<Served>, usize) {
        let listed = self.data.len();
        let mut served: Vec<_> = self.data.into_iter().filter_map(RawModel::validate).collect();
        if served.len() > MOST_NAMES {
            served.sort_by_key(|served| served.parent.is_some());
            served.truncate(MOST_NAMES);
            served.shrink_to_fit();
        }
        let left_out = listed - served.len();
        (served, left_out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn validated(list: &serde_json::Value) -> (Vec<Served>, usize) {
        serde_json::from_value::<RawModels>(json!({"data": list})).unwrap().validate()
    }

    #[test]
    fn models_are_taken_in_before_adapters_and_no_more_than_so_many() {
        let adapters = (0..20_000).map(|number| json!({"id": format!("lora-{number}"), "parent": "base"}));
        let list: Vec<_> = adapters.chain([json!({"id": "base"})]).collect();
        let (served, left_out) = validated(&list.into());
        assert_eq!((served.len(), left_out), (MOST_NAMES, 20_001 - MOST_NAMES));
        assert_eq!(
            (&*served[0].id, &*served[1].id, &*served[MOST_NAMES - 1].id),
            ("base", "lora-0", "lora-998")
        );

        let few = json!([{"id": "lora", "parent": "base"}, {"id": "base"}]);
        let (served, left_out) = validated(&few);
        assert_eq!(
            (&*served[0].id, &*served[1].id, left_out),
            ("lora", "base", 0),
            "all: in the engine's order"
        );
    }

    #[test]
    fn names_that_are_too_long_are_left_out() {
        let (right, long) = ("x".repeat(LONGEST_NAME), "x".repeat(LONGEST_NAME + 1));
        let list = json!([{"id": right}, {"id": long}, {"id": "lora", "parent": long}, {"id": "m", "root": "r".repeat(1 << 20)}]);
        let (served, left_out) = validated(&list);
        assert_eq!((served.len(), left_out), (2, 2));
        assert_eq!((&served[0].id, &served[1].root), (&right, &None));
    }
}
