//! The selectors that the meta-learner is measured against, all on the same folds and features.
//!
//! | selector | what it is |
//! | --- | --- |
//! | `single_best` | the action with the least mean regret in the training contexts, shrunken |
//! | `rule`, `rule_plus` | most accelerators for latency, fewest for cost; `rule_plus` breaks ties by the newest software |
//! | `prior` | the roofline prior, fitted to the fold's training rows |
//! | `aiconfigurator` | its own estimate, where all rows of a context have one; else the prior |
//! | `isac`, `alors`, `svd` | algorithm selection by clusters, by latent factors, by low-rank completion |
//! | `rf_raw`, `gb_raw` | a forest, boosting, on plain features |
//! | `rf_residual`, `gb_residual`, `lambdamart` | the same, and a ranker, on the learner's features, over the prior |
//! | `oracle`, `oracle_of_eight` | what was measured; of the MetaInf paper's eight actions alone |

pub mod alors;
mod classical;
pub mod clusters;
mod estimates;
pub mod factors;
mod features;
mod fold;
pub mod isac;
mod learned;
pub mod matrix;
mod metainf;
pub mod performance;
mod rules;
mod target;
pub mod trees;

pub use classical::{AlorsSelector, IsacSelector, SvdSelector};
pub use estimates::{Aiconfigurator, Oracle, PriorAlone};
pub use features::View;
pub use fold::{Effort, Fold, Scores, Selector};
pub use learned::{Boosting, ForestSelector, LambdaMart};
pub use metainf::{MetaInf, Variant};
pub use rules::{Rule, SingleBest};
pub use target::{Target, regrets};

/// All baselines, in the order of the report.
pub fn roster() -> Vec<Box<dyn Selector>> {
    vec![
        Box::new(SingleBest),
        Box::new(Rule { newest: false, most: None }),
        Box::new(Rule { newest: true, most: None }),
        Box::new(Rule { newest: false, most: Some(true) }),
        Box::new(Rule { newest: false, most: Some(false) }),
        Box::new(Rule { newest: true, most: Some(true) }),
        Box::new(Rule { newest: true, most: Some(false) }),
        Box::new(PriorAlone),
        Box::new(Aiconfigurator),
        Box::new(IsacSelector),
        Box::new(AlorsSelector),
        Box::new(SvdSelector),
        Box::new(ForestSelector { residual: false }),
        Box::new(Boosting { residual: false }),
        Box::new(ForestSelector { residual: true }),
        Box::new(Boosting { residual: true }),
        Box::new(LambdaMart),
        Box::new(Oracle { discrete: true }),
        Box::new(Oracle { discrete: false }),
    ]
}
