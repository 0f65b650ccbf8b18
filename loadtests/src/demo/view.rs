//! The picture in a terminal.

use std::{io::IsTerminal as _, time::Duration};

use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyModifiers},
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize as _},
    text::Line,
    widgets::{Block, Cell, Gauge, Paragraph, Row, Sparkline, Table},
};

use super::{
    DemoOptions,
    board::{Board, Side, Tally},
    plain::Lines,
};
use crate::{
    Error,
    report::{duration, number},
    workload::Class,
};

/// Where the picture is shown.
pub(super) enum Screen {
    /// A terminal, given back when dropped.
    Terminal(Terminal),
    /// Lines.
    Plain(Lines),
}

/// A terminal in raw mode.
pub(super) struct Terminal(DefaultTerminal);

impl Drop for Terminal {
    fn drop(&mut self) {
        // The process ends soon; nothing else could be done about a terminal that refuses.
        let _ = ratatui::try_restore();
    }
}

impl Screen {
    /// The terminal, where there is one and it is wanted.
    pub(super) fn open(options: &DemoOptions) -> Result<Self, Error> {
        if options.plain || !std::io::stdout().is_terminal() {
            return Ok(Self::Plain(Lines::default()));
        }
        Ok(Self::Terminal(Terminal(ratatui::try_init()?)))
    }

    /// Shows the board as it is.
    ///
    /// # Errors
    /// Where the terminal fails, or the viewer wants to leave.
    pub(super) fn show(&mut self, board: &Board) -> Result<(), Error> {
        match self {
            Self::Plain(lines) => lines.show(board),
            Self::Terminal(Terminal(terminal)) => {
                terminal.draw(|frame| draw(frame, board))?;
                if wants_to_leave()? { Err(Error::Failed("interrupted".into())) } else { Ok(()) }
            }
        }
    }
}

/// In raw mode Ctrl-C is a key like others.
fn wants_to_leave() -> Result<bool, Error> {
    while event::poll(Duration::ZERO)? {
        if let Event::Key(key) = event::read()? {
            let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn draw(frame: &mut Frame<'_>, board: &Board) {
    let engines = u16::try_from(board.engines.len()).unwrap_or(u16::MAX);
    let [head, sides, flows, fleet, trend] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(5),
        Constraint::Length(9),
        Constraint::Length(engines.saturating_add(3)),
        Constraint::Min(4),
    ])
    .areas(frame.area());
    draw_head(frame, head, board);
    draw_sides(frame, sides, board);
    draw_flows(frame, flows, board);
    draw_fleet(frame, fleet, board);
    draw_trend(frame, trend, board);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let [title, time] = Layout::horizontal([Constraint::Min(40), Constraint::Length(36)]).areas(area);
    let kind = if board.simulated { "simulated" } else { "real" };
    let text = format!(" Gearshift · {} {kind} engines · q leaves", board.engines.len());
    frame.render_widget(Paragraph::new(text).bold(), title);
    let left = board.duration.saturating_sub(board.elapsed).as_secs();
    let done = (board.elapsed.as_secs_f64() / board.duration.as_secs_f64()).min(1.0);
    let label = if left > 0 { format!("{left} s left") } else { "last answers".to_owned() };
    frame.render_widget(Gauge::default().ratio(done).label(label).gauge_style(Color::Cyan), time);
}

fn draw_sides(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let heads = [
        "",
        "done",
        "failed",
        "TTFT p50",
        "TTFT p95",
        "TPOT p50",
        "E2E p50",
        "E2E p95",
        "$/1k tok",
        "Wh/1k tok",
    ];
    let amount = |amount: Option<f64>| amount.map_or_else(|| "–".to_owned(), number);
    let row = |side: Side| {
        let tally = board.side(side);
        let cells = [
            side.name().to_owned(),
            format!("{}/{}", tally.ended, tally.sent),
            tally.failed.to_string(),
            duration(tally.ttft.quantile(0.5)),
            duration(tally.ttft.quantile(0.95)),
            duration(tally.tpot.quantile(0.5)),
            duration(tally.e2e.quantile(0.5)),
            duration(tally.e2e.quantile(0.95)),
            amount(board.usd_per_1k(side)),
            amount(board.wh_per_1k(side)),
        ];
        Row::new(cells).style(color(side))
    };
    let widths = [Constraint::Length(12), Constraint::Length(10)].into_iter().chain([Constraint::Min(8); 8]);
    let table = Table::new(Side::ALL.map(row), widths)
        .header(Row::new(heads).dim())
        .block(Block::bordered().title("The same requests, two ways"));
    frame.render_widget(table, area);
}

fn draw_flows(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let tally = board.side(Side::Gearshift);
    let row = |(index, class): (usize, Class)| {
        let shares = (0..board.engines.len()).map(move |engine| share_cell(tally, index, engine));
        Row::new(std::iter::once(Cell::from(class.name())).chain(shares))
    };
    let heads =
        std::iter::once("class".to_owned()).chain(board.engines.iter().map(|engine| engine.name.clone()));
    let widths = std::iter::once(Constraint::Length(12))
        .chain(std::iter::repeat_n(Constraint::Min(8), board.engines.len()));
    let table = Table::new(Class::ALL.into_iter().enumerate().map(row), widths)
        .header(Row::new(heads).dim())
        .block(Block::bordered().title("Where Gearshift sends each class"));
    frame.render_widget(table, area);
}

/// A share, the brighter the larger.
fn share_cell(tally: &Tally, class: usize, engine: usize) -> Cell<'static> {
    let share = tally.share(class, engine);
    let style = match share {
        share if share >= 0.4 => Style::new().fg(Color::Green).bold(),
        share if share >= 0.15 => Style::new().fg(Color::Green),
        share if share > 0.0 => Style::new(),
        _ => Style::new().dim(),
    };
    Cell::from(format!("{:3.0} %", share * 100.0)).style(style)
}

fn draw_fleet(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let row = |(index, engine): (usize, &super::board::EngineRow)| {
        let price = engine.price_usd_per_hour.map_or_else(String::new, |price| format!("{price:.2} $/h"));
        let load = |side: Side| board.load(side, index).to_string();
        Row::new([
            Cell::from(engine.name.clone()),
            Cell::from(engine.hardware.clone()),
            Cell::from(engine.profile.clone()),
            Cell::from(price),
            Cell::from(load(Side::Gearshift)).style(color(Side::Gearshift)),
            Cell::from(load(Side::RoundRobin)).style(color(Side::RoundRobin)),
        ])
    };
    let widths = [12, 16, 14, 10, 12, 12].map(Constraint::Min);
    let heads = ["engine", "hardware", "profile", "price", "in it now", "round robin"];
    let table = Table::new(board.engines.iter().enumerate().map(row), widths)
        .header(Row::new(heads).dim())
        .block(Block::bordered().title("The fleet and its twin"));
    frame.render_widget(table, area);
}

fn draw_trend(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let areas: [Rect; 2] = Layout::horizontal([Constraint::Percentage(50); 2]).areas(area);
    let series = Side::ALL.map(|side| milliseconds(board.side(side)));
    let most = series.iter().flatten().copied().max().unwrap_or(1);
    for ((side, values), area) in Side::ALL.into_iter().zip(&series).zip(areas) {
        let visible = usize::from(area.width.saturating_sub(2));
        let values = &values[values.len().saturating_sub(visible)..];
        let title = Line::from(format!("TTFT by second, {} (up to {most} ms)", side.name()));
        let sparkline = Sparkline::default()
            .data(values)
            .max(most)
            .style(color(side))
            .block(Block::bordered().title(title));
        frame.render_widget(sparkline, area);
    }
}

/// Mean time to first token in each second.
fn milliseconds(tally: &Tally) -> Vec<u64> {
    let mean = |(sum, count): &(f64, u32)| {
        let mean = sum / f64::from((*count).max(1)) * 1e3;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive; casts saturate"
        )]
        let mean = mean as u64;
        mean
    };
    tally.seconds.iter().map(mean).collect()
}

fn color(side: Side) -> Style {
    match side {
        Side::Gearshift => Style::new().fg(Color::Green),
        Side::RoundRobin => Style::new().fg(Color::Yellow),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::demo::board::tests::board;

    fn picture(width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &board())).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_picture_shows_both_ways_every_class_and_every_engine() {
        let picture = picture(140, 40);
        for part in [
            "gearshift",
            "round robin",
            "500 ms",
            "h100-draft",
            "l40s-spot",
            "reasoning",
            "100 %",
            "60 s left",
        ] {
            assert!(picture.contains(part), "{part}:\n{picture}");
        }
    }

    #[test]
    fn a_small_terminal_is_no_error() {
        for (width, height) in [(1, 1), (20, 3), (60, 12)] {
            picture(width, height);
        }
    }
}
