//! `/sim/faults`: what goes wrong, from outside.
//!
//! `GET` lists active faults. `POST` takes one, as JSON with its `kind` and figures, and `for_s`, the simulated seconds
//! after which it lifts itself; fields it does not know, and figures out of range, are refused. `DELETE` lifts them: the one named by `?kind=`, else all.

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Answer, dev, reply};
use crate::{serve::host::Host, sim::Fault};

#[derive(Debug, Deserialize, Serialize)]
struct Order {
    #[serde(flatten)]
    fault: Fault,
    for_s: Option<f64>,
}

impl Order {
    /// The order in a request's body, or what is wrong with it.
    fn parse(body: &[u8]) -> Result<Self, String> {
        let asked: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let order = Self::deserialize(&asked).map_err(|error| error.to_string())?;
        // serde refuses unknown fields neither beside a flattened one nor in variants without fields.
        let known = serde_json::to_value(&order).map_err(|error| error.to_string())?;
        let mut names = asked.as_object().into_iter().flat_map(|fields| fields.keys());
        if let Some(name) = names.find(|name| known.get(name.as_str()).is_none()) {
            return Err(format!("unknown field `{name}`"));
        }
        order.fault.check()?;
        match order.for_s {
            Some(seconds) if seconds < 0.0 => Err(format!("for_s must not be negative, not {seconds}")),
            _ => Ok(order),
        }
    }
}

pub(super) fn faults(host: &Host, method: &Method, query: &str, body: &[u8]) -> Answer {
    let (status, answer) = control(host, method, query, body);
    reply::json(host, status, &answer)
}

/// Carries out an order; also for the controller that outlives a crash.
pub(in crate::serve) fn control(
    host: &Host,
    method: &Method,
    query: &str,
    body: &[u8],
) -> (StatusCode, Value) {
    match *method {
        Method::POST => match Order::parse(body) {
            Ok(Order { fault, for_s }) => host.inject(fault, for_s),
            Err(reason) => return (StatusCode::BAD_REQUEST, json!({"detail": reason})),
        },
        Method::DELETE => {
            let lifted = host.lift(dev::parameter(query, "kind"));
            return (StatusCode::OK, json!({"lifted": lifted}));
        }
        _ => {}
    }
    (StatusCode::OK, json!({"faults": host.faults()}))
}
