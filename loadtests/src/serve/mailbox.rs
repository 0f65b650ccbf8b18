//! From the engine's task to the one that answers a request.

use std::{
    cell::RefCell,
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

/// What the engine has to say about one choice of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notice {
    /// Which one.
    pub(super) choice: usize,
    /// Tokens that have come since the last notice.
    pub(super) tokens: u32,
    /// How it ended, where it did.
    pub(super) end: Option<End>,
}

/// How a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Whole, with this many prompt tokens from the cache.
    Finished { cached_tokens: u32 },
    /// The engine dropped it.
    Aborted,
}

/// Notices of one request's choices.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// Whether tokens that nobody has fetched yet are told of together.
    merges: bool,
    notices: RefCell<VecDeque<Notice>>,
    waker: RefCell<Option<Waker>>,
}

impl Mailbox {
    /// An empty one; `merges` says whether tokens that nobody has fetched yet are told of together.
    pub(super) fn new(merges: bool) -> Self {
        Self { merges, notices: RefCell::default(), waker: RefCell::default() }
    }

    /// Leaves a notice and wakes the reader. An end without tokens goes with the tokens before it.
    pub(super) fn post(&self, notice: Notice) {
        let mut notices = self.notices.borrow_mut();
        let before = notices.iter_mut().rfind(|waiting| waiting.choice == notice.choice);
        match before.filter(|_| self.merges || notice.tokens == 0) {
            Some(waiting) => {
                waiting.tokens += notice.tokens;
                waiting.end = notice.end;
            }
            None => notices.push_back(notice),
        }
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next notice. One task reads a mailbox.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Notice> {
        if let Some(notice) = self.notices.borrow_mut().pop_front() {
            return Poll::Ready(notice);
        }
        *self.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_fetched_is_merged_by_choice_where_wanted() {
        let context = Context::from_waker(Waker::noop());
        let end = Some(End::Finished { cached_tokens: 3 });
        let read = |merges: bool| {
            let mailbox = Mailbox::new(merges);
            assert_eq!(mailbox.poll(&context), Poll::Pending);
            for (choice, tokens, end) in [(0, 1, None), (1, 1, None), (0, 2, None), (0, 0, end)] {
                mailbox.post(Notice { choice, tokens, end });
            }
            let next = || match mailbox.poll(&context) {
                Poll::Ready(Notice { choice, tokens, end }) => Some((choice, tokens, end)),
                Poll::Pending => None,
            };
            std::iter::from_fn(next).collect::<Vec<_>>()
        };
        assert_eq!(read(true), [(0, 3, end), (1, 1, None)]);
        assert_eq!(read(false), [(0, 1, None), (1, 1, None), (0, 2, end)]);
    }
}
