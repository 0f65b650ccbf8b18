//! Drawing: lines, marks and text in points, written as SVG.

use plotters::{
    backend::SVGBackend,
    prelude::{DrawingBackend, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle},
    style::{
        Color as _, FontDesc,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// Pixels per point: coordinates are whole pixels, and curves need finer ones than points.
const PIXELS: f64 = 2.0;
/// plotters divides font sizes by this.
const FONT_FACTOR: f64 = 1.24;
const FONT: FontFamily<'static> =
    FontFamily::Name("system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif");

/// Dark text.
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Text that matters less.
pub(super) const FAINT: RGBColor = RGBColor(0x59, 0x59, 0x59);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xE4, 0xE4, 0xE4);
const GROUND: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);

/// The palette of Okabe and Ito, less its yellow, which white ground swallows.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x6B, 0x6B, 0x6B),
];

/// The colour of series number `index`.
pub(super) fn color(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

/// Whether series number `index` has a colour that an earlier one has, and needs another pattern.
pub(super) fn repeats(index: usize) -> bool {
    index >= PALETTE.len()
}

/// Where text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// To the right of it.
    Start,
    /// Centred on it.
    Middle,
    /// To the left of it.
    End,
    /// Centred on it, read from below.
    Upright,
}

/// Text's size and look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) color: RGBColor,
}

/// A drawing in the making.
pub(super) struct Canvas<'s> {
    backend: SVGBackend<'s>,
}

/// Draws `width` × `height` points.
pub(super) fn draw(width: f64, height: f64, paint: impl FnOnce(&mut Canvas<'_>)) -> String {
    let mut svg = String::new();
    {
        let size = (pixel(width).unsigned_abs(), pixel(height).unsigned_abs());
        let mut canvas = Canvas { backend: SVGBackend::with_string(&mut svg, size) };
        canvas.rectangle((0.0, 0.0), (width, height), GROUND);
        paint(&mut canvas);
    }
    svg
}

fn pixel(points: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and no drawing is that large")]
    let pixel = (points * PIXELS).round() as i32;
    pixel
}

fn pixels((x, y): (f64, f64)) -> (i32, i32) {
    (pixel(x), pixel(y))
}

fn stroke(color: RGBColor, width: f64) -> ShapeStyle {
    ShapeStyle { color: color.to_rgba(), filled: false, stroke_width: pixel(width).unsigned_abs().max(1) }
}

// The results of the backend are dropped: writing to memory does not fail.
impl Canvas<'_> {
    /// A line through points.
    pub(super) fn line(&mut self, points: &[(f64, f64)], color: RGBColor, width: f64) {
        let mut path: Vec<(i32, i32)> = points.iter().map(|&point| pixels(point)).collect();
        path.dedup();
        if path.len() > 1 {
            let _ = self.backend.draw_path(path, &stroke(color, width));
        }
    }

    /// A dashed line through points.
    pub(super) fn dashes(&mut self, points: &[(f64, f64)], color: RGBColor, width: f64) {
        const DASH: f64 = 7.0;
        const GAP: f64 = 5.0;
        let (mut left, mut drawing) = (DASH, true);
        let mut dash = Vec::new();
        for pair in points.windows(2) {
            let ((mut x, mut y), (to_x, to_y)) = (pair[0], pair[1]);
            dash.push((x, y));
            loop {
                let length = (to_x - x).hypot(to_y - y);
                if length <= left {
                    left -= length;
                    break;
                }
                let along = left / length;
                (x, y) = (x + (to_x - x) * along, y + (to_y - y) * along);
                if drawing {
                    dash.push((x, y));
                    self.line(&dash, color, width);
                }
                drawing = !drawing;
                left = if drawing { DASH } else { GAP };
                dash = vec![(x, y)];
            }
        }
        if drawing {
            dash.extend(points.last().copied());
            self.line(&dash, color, width);
        }
    }

    /// A filled rectangle between two corners.
    pub(super) fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), color: RGBColor) {
        let _ = self.backend.draw_rect(pixels(from), pixels(to), &color.filled(), true);
    }

    /// A filled dot; `opacity` below 1 lets what is under it shine through.
    pub(super) fn dot(&mut self, at: (f64, f64), radius: f64, color: RGBColor, opacity: f64) {
        let style = color.mix(opacity).filled();
        let _ = self.backend.draw_circle(pixels(at), pixel(radius).unsigned_abs(), &style, true);
    }

    /// One line of text, vertically centred on `at`.
    pub(super) fn text(&mut self, text: &str, at: (f64, f64), anchor: Anchor, look: Type) {
        let (weight, horizontal) = (
            if look.bold { FontStyle::Bold } else { FontStyle::Normal },
            match anchor {
                Anchor::Start => HPos::Left,
                Anchor::Middle | Anchor::Upright => HPos::Center,
                Anchor::End => HPos::Right,
            },
        );
        let font = FontDesc::new(FONT, look.size * PIXELS * FONT_FACTOR, weight);
        let font = if anchor == Anchor::Upright { font.transform(FontTransform::Rotate270) } else { font };
        let style = TextStyle::from(font).color(&look.color).pos(Pos::new(horizontal, VPos::Center));
        let _ = self.backend.draw_text(text, &style, pixels(at));
    }
}

/// Roughly how wide text is, points: fonts differ, and the reader's is not known.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let em = |letter: char| match letter {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | 'I' | ' ' | '.' | ',' | ':' | '-' | '(' | ')' => 0.36,
        'm' | 'w' | 'M' | 'W' | '%' => 0.92,
        'A'..='Z' => 0.68,
        _ => 0.6,
    };
    text.chars().map(em).sum::<f64>() * size
}
