//! Plots as SVG: light ground, system fonts, colours that colour-blind readers can tell apart.

mod axis;
mod bars;
mod canvas;
mod chart;
mod frame;

pub use axis::Axis;
pub use bars::{Bar, Bars};
pub use chart::Chart;
