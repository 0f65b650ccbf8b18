//! Levenberg–Marquardt over the fit's few parameters, with soft-L1 as iteratively reweighted squares.

use super::pace::Pace;
use super::{
    FitOptions,
    design::{
        PARAMETERS, PREFILL_ATTENTION, PREFILL_FLOPS, Parameters, QUARTER, TERM_DEFAULTS, TERMS, parts,
    },
};
use crate::dataset::Dataset;

/// Steps at most; some thirty are usual.
const STEPS: usize = 300;
/// Relative decrease of the cost that counts as none.
const CONVERGED: f64 = 1e-10;

type Matrix = [[f64; PARAMETERS]; PARAMETERS];

/// What is minimised.
pub(super) struct Problem<'a> {
    options: &'a FitOptions,
    contexts: Vec<&'a [Line]>,
}

/// One sample.
pub(super) struct Line {
    terms: [f64; TERMS],
    exponents: [f64; PARAMETERS - TERMS],
    /// Natural log of the measured time.
    target: f64,
}

/// The cost at some parameters, with its gradient and the lower half of Gauss–Newton's Hessian.
struct Expansion {
    cost: f64,
    gradient: Parameters,
    hessian: Matrix,
}

/// A residual's value and derivatives.
type Residual = (f64, Parameters);

/// Parameters of the defaults.
pub(super) fn start(options: &FitOptions) -> Parameters {
    std::array::from_fn(|p| match p {
        QUARTER => options.pace.start(),
        p if p < TERMS => TERM_DEFAULTS[p].ln(),
        _ => 0.0,
    })
}

/// All samples, by context.
pub(super) fn lines(dataset: &Dataset) -> Vec<Vec<Line>> {
    let line = |sample| {
        let parts = parts(sample);
        Line { terms: parts.e2e, exponents: parts.exponents, target: sample.e2e_ms.ln() }
    };
    dataset.contexts.iter().map(|context| dataset.of(context).map(line).collect()).collect()
}

impl Line {
    /// ln of the prior's end to end time.
    pub(super) fn foretell(&self, at: &Parameters) -> f64 {
        let sum: f64 = self.terms.iter().zip(at).map(|(term, ln)| term * ln.exp()).sum();
        let exponent: f64 = self.exponents.iter().zip(&at[TERMS..]).map(|(x, m)| x * m).sum();
        sum.max(f64::MIN_POSITIVE).ln() + exponent
    }

    /// By how many quarters its software is older or newer than another's.
    pub(super) fn quarters_from(&self, other: &Self) -> f64 {
        (self.exponents[QUARTER - TERMS] - other.exponents[QUARTER - TERMS]).abs()
    }
}

impl<'a> Problem<'a> {
    pub(super) fn new(contexts: impl Iterator<Item = &'a [Line]>, options: &'a FitOptions) -> Self {
        Self { options, contexts: contexts.collect() }
    }

    pub(super) fn solve(&self, start: Parameters) -> Parameters {
        let mut at = start;
        let mut expansion = self.expand(&at);
        let mut damping = 1e-3;
        for _ in 0..STEPS {
            let Some(step) = expansion.step(damping) else { break };
            let next = std::array::from_fn(|p| at[p] + step[p]);
            let tried = self.expand(&next);
            if tried.cost.is_nan() || tried.cost >= expansion.cost {
                damping *= 10.0;
                if damping > 1e12 {
                    break;
                }
                continue;
            }
            let decrease = (expansion.cost - tried.cost) / expansion.cost;
            (at, expansion, damping) = (next, tried, (damping / 10.0).max(1e-12));
            if decrease < CONVERGED {
                break;
            }
        }
        at
    }

    fn expand(&self, at: &Parameters) -> Expansion {
        let mut expansion =
            Expansion { cost: 0.0, gradient: [0.0; PARAMETERS], hessian: [[0.0; PARAMETERS]; PARAMETERS] };
        for &lines in &self.contexts {
            let residuals: Vec<_> = lines.iter().map(|line| self.residual(line, at)).collect();
            let share = 1.0 / residuals.len() as f64;
            let weight = share.sqrt();
            let mean = residuals.iter().fold((0.0, [0.0; PARAMETERS]), |mean, r| plus(mean, r, share));
            for residual in &residuals {
                if residuals.len() > 1 {
                    expansion.add(times(plus(*residual, &mean, -1.0), weight), self.options.soft_l1);
                }
                expansion.add(times(*residual, weight * self.options.absolute), self.options.soft_l1);
            }
        }
        let centre = start(self.options);
        for p in 0..PARAMETERS {
            let ridge = match p {
                PREFILL_FLOPS | PREFILL_ATTENTION => self.options.ridge_prefill,
                p if p < TERMS => self.options.ridge,
                _ => self.options.ridge_multipliers,
            };
            let mut derivative = [0.0; PARAMETERS];
            derivative[p] = ridge.sqrt();
            expansion.add((ridge.sqrt() * (at[p] - centre[p]), derivative), self.options.soft_l1);
        }
        expansion
    }

    fn residual(&self, line: &Line, at: &Parameters) -> Residual {
        let scaled: [f64; TERMS] = std::array::from_fn(|p| line.terms[p] * at[p].exp());
        let sum = scaled.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let exponent: f64 = line.exponents.iter().zip(&at[TERMS..]).map(|(x, m)| x * m).sum();
        let derivative = std::array::from_fn(|p| match p {
            QUARTER if self.options.pace != Pace::Fitted => 0.0,
            p if p < TERMS => scaled[p] / sum,
            p => line.exponents[p - TERMS],
        });
        (sum.ln() + exponent - line.target, derivative)
    }
}

fn plus((value, derivative): Residual, other: &Residual, factor: f64) -> Residual {
    (value + other.0 * factor, std::array::from_fn(|p| derivative[p] + other.1[p] * factor))
}

fn times((value, derivative): Residual, factor: f64) -> Residual {
    (value * factor, derivative.map(|d| d * factor))
}

impl Expansion {
    /// Adds a residual under soft-L1 of this scale: squared below it, in proportion beyond.
    fn add(&mut self, (value, derivative): Residual, scale: f64) {
        let root = (1.0 + (value / scale) * (value / scale)).sqrt();
        self.cost += scale * scale * (root - 1.0);
        let weight = 1.0 / root;
        for (row, d) in derivative.iter().enumerate() {
            if *d == 0.0 {
                continue;
            }
            self.gradient[row] += weight * d * value;
            // The lower half: it is symmetric.
            for (entry, other) in self.hessian[row].iter_mut().zip(&derivative[..=row]) {
                *entry += weight * d * other;
            }
        }
    }

    /// The step to the damped model's minimum; `None` where the numbers allow none.
    fn step(&self, damping: f64) -> Option<Parameters> {
        let mut lower = self.hessian;
        for (p, row) in lower.iter_mut().enumerate() {
            row[p] += damping * row[p].max(1e-9);
        }
        let step = solve(&mut lower, self.gradient.map(|g| -g))?;
        step.iter().all(|s| s.is_finite()).then_some(step)
    }
}

/// Solves for a positive definite matrix by Cholesky's decomposition, in place; of the matrix the lower half is read.
fn solve(a: &mut Matrix, mut b: Parameters) -> Option<Parameters> {
    for row in 0..PARAMETERS {
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| a[row][k] * a[column][k]).sum();
            let rest = a[row][column] - known;
            a[row][column] = if row == column {
                if rest.is_nan() || rest <= 0.0 {
                    return None;
                }
                rest.sqrt()
            } else {
                rest / a[column][column]
            };
        }
        let known: f64 = (0..row).map(|k| a[row][k] * b[k]).sum();
        b[row] = (b[row] - known) / a[row][row];
    }
    for row in (0..PARAMETERS).rev() {
        let known: f64 = (row + 1..PARAMETERS).map(|k| a[k][row] * b[k]).sum();
        b[row] = (b[row] - known) / a[row][row];
    }
    Some(b)
}
