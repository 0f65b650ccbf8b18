//! One request of a workload.

use std::time::Duration;

use super::Content;

/// What a request is for; the kinds that mixes are made of and that reports break down by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Conversation turns.
    Chat,
    /// Questions over retrieved passages.
    Rag,
    /// Tool-using agents: a growing shared context, short answers.
    Agent,
    /// Code completion and editing.
    Code,
    /// Long documents, short answers.
    Summary,
    /// Short questions, long chains of thought.
    Reasoning,
}

impl Class {
    /// All of them, in the order reports use.
    pub const ALL: [Self; 6] =
        [Self::Chat, Self::Rag, Self::Agent, Self::Code, Self::Summary, Self::Reasoning];

    /// Its name in reports, metrics and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Rag => "rag",
            Self::Agent => "agent",
            Self::Code => "code",
            Self::Summary => "summary",
            Self::Reasoning => "reasoning",
        }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its number in the workload, from 0.
    pub id: u64,
    /// When it comes, from the workload's start.
    pub at: Duration,
    /// What it is for.
    pub class: Class,
    /// Its prompt, and the answer it gets.
    pub content: Content,
    /// The client's cap on output tokens, where it sends one.
    pub max_tokens: Option<u32>,
}
