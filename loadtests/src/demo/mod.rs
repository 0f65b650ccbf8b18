//! The demo: Gearshift against round robin, live, over engines that need no GPU.
//!
//! Six simulated engines of different hardware, profiles and prices stand behind the `gearshift` binary; a twin fleet of
//! the same six gets the same requests at the same times, one engine after the other. Everything on the way is real:
//! sockets, streams, the proxy. What the engines compute is simulated, and called so.
//!
//! With `--backends` real engines take their place; these cannot be doubled, so the two ways follow one another.

mod board;
mod fleet;
mod gearshift;
mod options;
mod plain;
mod real;
mod report;
mod view;

use std::{cell::RefCell, rc::Rc, time::Duration};

use board::{Board, Side};
pub use options::DemoOptions;
use report::Report;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    Error,
    driver::{
        Endpoint,
        replay::{Replay, Slo},
    },
    options::Format,
    report::ReportFiles,
    scenario::Scenario,
    workload::Workload,
};

/// The scenario that is shown.
const SCENARIO: &str = "demo";
/// Between two pictures.
const REDRAW: Duration = Duration::from_millis(250);
/// How long requests that are under way may take after the last one was sent.
const DRAIN: Duration = Duration::from_secs(20);
/// Header by which simulated engines name themselves.
const ENGINE_HEADER: &str = "x-sim-engine";

/// Runs the demo; gives what is to be printed at its end.
///
/// # Errors
/// Where the binary does not start, a file cannot be written, or the viewer leaves.
pub async fn run(options: &DemoOptions) -> Result<String, Error> {
    let board = Rc::new(RefCell::new(if options.backends.is_empty() {
        Board::simulated(&scenario(options)?, options)?
    } else {
        Board::real(options)?
    }));
    let shown = watch(&board, options);
    let ran = async {
        if options.backends.is_empty() {
            simulated(&board, options).await
        } else {
            real::run(&board, options).await
        }
    };
    tokio::select! {
        ran = ran => ran?,
        left = shown => return Err(left),
    }
    let report = Report::new(&board.borrow(), options);
    let files = ReportFiles::create(&options.out, "demo")?;
    let written = report.write(&files)?;
    match options.output {
        Format::Json => Ok(serde_json::to_string_pretty(&report)? + "\n"),
        Format::Text => Ok(report.text(&written)),
    }
}

fn scenario(options: &DemoOptions) -> Result<Scenario, Error> {
    Ok(match &options.config {
        Some(file) => Scenario::load(file, None)?,
        None => Scenario::shipped(SCENARIO)?,
    })
}

/// Both ways at once, each with a fleet of its own.
async fn simulated(board: &Rc<RefCell<Board>>, options: &DemoOptions) -> Result<(), Error> {
    let scenario = scenario(options)?;
    let fleets = fleet::Twins::start(&scenario, options.seed).await?;
    let proxy = gearshift::Gearshift::before_twins(options, &scenario, fleets.first()).await?;
    let model = scenario.engines.first().map(|engine| engine.spec.model_name.clone()).unwrap_or_default();
    board.borrow_mut().attach(fleets.readings());
    board.borrow_mut().begin();
    tokio::try_join!(
        replay(board, options, Side::Gearshift, vec![proxy.endpoint().clone()], &model),
        replay(board, options, Side::RoundRobin, fleets.second().to_vec(), &model),
    )?;
    board.borrow_mut().end();
    Ok(())
}

/// Sends the workload one way.
async fn replay(
    board: &Rc<RefCell<Board>>,
    options: &DemoOptions,
    side: Side,
    targets: Vec<Endpoint>,
    model: &str,
) -> Result<(), Error> {
    let mut replay = Replay::new(targets, model);
    replay.backend_header = Some(ENGINE_HEADER.to_owned());
    replay.drain = DRAIN;
    if !options.backends.is_empty() {
        replay.bodies.answers = crate::workload::Answers::Forced;
    }
    let requests = workload(options)?.requests(options.seed);
    let results = replay.run(requests, Slo::default(), |event| board.borrow_mut().take(side, event)).await?;
    board.borrow_mut().finish(side, results);
    Ok(())
}

/// What is asked: all classes, in shares that drift over the demo's time.
fn workload(options: &DemoOptions) -> Result<Workload, Error> {
    let duration = Duration::from_secs(options.duration);
    Ok(Workload::find("drift")?
        .at_rate(options.rate)
        .within_context(options.context)
        .lasting(duration)
        .drifting_over(duration))
}

/// Shows the board until the future is dropped; ends only where the viewer leaves or cannot be shown anything.
async fn watch(board: &Rc<RefCell<Board>>, options: &DemoOptions) -> Error {
    let mut screen = match view::Screen::open(options) {
        Ok(screen) => screen,
        Err(error) => return error,
    };
    let mut ticks = interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        board.borrow_mut().refresh();
        if let Err(error) = screen.show(&board.borrow()) {
            return error;
        }
    }
}
