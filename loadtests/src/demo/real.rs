//! Real engines: first through Gearshift, then round robin, with the same requests.

use std::{cell::RefCell, rc::Rc};

use super::{Board, DemoOptions, Side, gearshift::Gearshift, replay};
use crate::{Error, driver::Endpoint};

/// Runs both ways, one after the other.
pub(super) async fn run(board: &Rc<RefCell<Board>>, options: &DemoOptions) -> Result<(), Error> {
    let engines: Vec<Endpoint> =
        options.backends.iter().map(|url| Endpoint::resolve(url)).collect::<Result<_, _>>()?;
    let model = options.model.as_deref().unwrap_or_default();
    let proxy = Gearshift::before(options, &options.backends).await?;
    board.borrow_mut().begin();
    replay(board, options, Side::Gearshift, vec![proxy.endpoint().clone()], model).await?;
    drop(proxy);
    board.borrow_mut().begin();
    replay(board, options, Side::RoundRobin, engines, model).await?;
    board.borrow_mut().end();
    Ok(())
}
