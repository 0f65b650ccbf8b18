//! What all plots have: title, axes with grid, legend.

use plotters::style::RGBColor;

use super::{
    axis::Scale,
    canvas::{Anchor, Canvas, FAINT, GRID, INK, Type, text_width},
};

/// Size of a plot, points.
pub(super) const WIDTH: f64 = 760.0;
pub(super) const HEIGHT: f64 = 430.0;

const TITLE: Type = Type { size: 17.0, bold: true, color: INK };
const LABEL: Type = Type { size: 13.0, bold: false, color: INK };
const TICK: Type = Type { size: 12.0, bold: false, color: FAINT };
const MARGIN: f64 = 18.0;
const LEGEND_LINE: f64 = 20.0;

/// How a series is marked in the legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Line,
    Dashes,
    Dot,
    Box,
}

/// One entry of the legend.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) color: RGBColor,
    pub(super) mark: Mark,
}

/// The area in which values are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Area {
    /// Draws the title and the legend, and leaves what is between them and the axes, whose labels and ticks get their room.
    pub(super) fn framed(canvas: &mut Canvas<'_>, title: &str, entries: &[Entry], widest_tick: f64) -> Self {
        canvas.text(title, (MARGIN, 24.0), Anchor::Start, TITLE);
        let below = legend(canvas, entries, 50.0);
        Self {
            left: MARGIN + 26.0 + widest_tick,
            right: WIDTH - MARGIN - 8.0,
            top: below,
            bottom: HEIGHT - 58.0,
        }
    }

    /// The vertical axis: grid, ticks and label.
    pub(super) fn y_axis(&self, canvas: &mut Canvas<'_>, scale: &Scale, label: &str) {
        for (value, text) in &scale.ticks {
            let y = self.y(scale, *value);
            canvas.line(&[(self.left, y), (self.right, y)], GRID, 1.0);
            canvas.text(text, (self.left - 8.0, y), Anchor::End, TICK);
        }
        canvas.text(label, (MARGIN - 2.0, f64::midpoint(self.top, self.bottom)), Anchor::Upright, LABEL);
    }

    /// The horizontal axis: grid, ticks and label.
    pub(super) fn x_axis(&self, canvas: &mut Canvas<'_>, scale: &Scale, label: &str) {
        for (value, text) in &scale.ticks {
            let x = self.x(scale, *value);
            canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 1.0);
            canvas.text(text, (x, self.bottom + 15.0), Anchor::Middle, TICK);
        }
        self.x_label(canvas, label);
    }

    /// What the horizontal axis shows.
    pub(super) fn x_label(&self, canvas: &mut Canvas<'_>, label: &str) {
        canvas.text(label, (f64::midpoint(self.left, self.right), HEIGHT - 16.0), Anchor::Middle, LABEL);
    }

    /// The line that the plot stands on.
    pub(super) fn ground(&self, canvas: &mut Canvas<'_>, y: f64) {
        canvas.line(&[(self.left, y), (self.right, y)], FAINT, 1.0);
    }

    /// A name under the axis, on two lines where it is wider than `room`.
    pub(super) fn name_under(&self, canvas: &mut Canvas<'_>, name: &str, x: f64, room: f64) {
        let halves = (text_width(name, TICK.size) > room).then(|| split_in_two(name)).flatten();
        let (first, second) = halves.unwrap_or((name, ""));
        canvas.text(first, (x, self.bottom + 13.0), Anchor::Middle, TICK);
        if !second.is_empty() {
            canvas.text(second, (x, self.bottom + 27.0), Anchor::Middle, TICK);
        }
    }

    pub(super) fn x(&self, scale: &Scale, value: f64) -> f64 {
        self.left + (self.right - self.left) * scale.place(value)
    }

    pub(super) fn y(&self, scale: &Scale, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * scale.place(value)
    }
}

/// How wide the widest tick of a scale is, points.
pub(super) fn widest(scale: &Scale) -> f64 {
    scale.ticks.iter().map(|(_, text)| text_width(text, TICK.size)).fold(0.0, f64::max)
}

/// At the space or hyphen nearest to the middle.
fn split_in_two(name: &str) -> Option<(&str, &str)> {
    let breaks = name.char_indices().filter(|(_, letter)| matches!(letter, ' ' | '-' | '/'));
    let (at, letter) = breaks.min_by_key(|(at, _)| at.abs_diff(name.len() / 2))?;
    let after = at + letter.len_utf8();
    Some((name[..if letter == ' ' { at } else { after }].trim_end(), &name[after..]))
}

/// Draws the legend in lines from `y` downwards; returns where the plot may begin.
fn legend(canvas: &mut Canvas<'_>, entries: &[Entry], mut y: f64) -> f64 {
    const SWATCH: f64 = 22.0;
    let mut x = MARGIN;
    for entry in entries {
        let width = SWATCH + 7.0 + text_width(&entry.name, LABEL.size) + 16.0;
        if x + width > WIDTH - MARGIN && x > MARGIN {
            (x, y) = (MARGIN, y + LEGEND_LINE);
        }
        let line = [(x, y), (x + SWATCH, y)];
        match entry.mark {
            Mark::Line => canvas.line(&line, entry.color, 2.5),
            Mark::Dashes => canvas.dashes(&line, entry.color, 2.0),
            Mark::Dot => canvas.dot((x + SWATCH / 2.0, y), 4.5, entry.color, 0.65),
            Mark::Box => canvas.rectangle((x + 5.0, y - 6.0), (x + 17.0, y + 6.0), entry.color),
        }
        canvas.text(&entry.name, (x + SWATCH + 7.0, y), Anchor::Start, LABEL);
        x += width;
    }
    if entries.is_empty() { y } else { y + LEGEND_LINE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_break_near_their_middle() {
        assert_eq!(split_in_two("least outstanding requests"), Some(("least outstanding", "requests")));
        assert_eq!(split_in_two("peak-ewma"), Some(("peak-", "ewma")));
        assert_eq!(split_in_two("gearshift"), None);
    }
}
