//! The scenarios that ship: fleets for the demo and for routing studies, fixed before any result was seen.

struct Shipped {
    name: &'static str,
    config: &'static str,
    truth: Option<&'static str>,
}

macro_rules! scenario {
    ($name:literal) => {
        Shipped {
            name: $name,
            config: include_str!(concat!("../../scenarios/", $name, ".yaml")),
            truth: None,
        }
    };
    ($name:literal, truth) => {
        Shipped {
            truth: Some(include_str!(concat!("../../scenarios/", $name, ".truth.json"))),
            ..scenario!($name)
        }
    };
}

const SHIPPED: [Shipped; 11] = [
    scenario!("demo"),
    scenario!("homogeneous"),
    scenario!("hardware"),
    scenario!("profiles"),
    scenario!("cost"),
    scenario!("moe"),
    scenario!("day"),
    scenario!("liar", truth),
    scenario!("decentralized", truth),
    scenario!("impostor", truth),
    scenario!("newcomer", truth),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|shipped| shipped.name)
}

/// A scenario's configuration and truth.
pub(super) fn find(name: &str) -> Option<(&'static str, Option<&'static str>)> {
    SHIPPED.iter().find(|shipped| shipped.name == name).map(|shipped| (shipped.config, shipped.truth))
}
