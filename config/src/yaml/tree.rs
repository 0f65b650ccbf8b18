//! The tree: YAML's events with their positions, aliases resolved, duplicate keys found, sizes bounded.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::{Finding, MAX_FINDINGS, Path, Step};
use crate::Position;

/// What a file may weigh with its aliases expanded: a hundred times a large fleet, too little for "billion laughs" to
/// do harm. A value weighs one, and one more for every [`WEIGHED_BYTES`] of its text.
const MAX_WEIGHT: usize = 200_000;
const WEIGHED_BYTES: usize = 64;
/// Nesting a file may have; the configuration needs six levels.
const MAX_DEPTH: usize = 32;

/// One value with its place in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Text as written; `plain` when not quoted, so that it may mean a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    /// In the file's order; keys are unique.
    Mapping(Vec<Entry>),
    /// Was erroneous and has been reported.
    Cut,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) position: Position,
    pub(crate) value: Node,
}

impl Node {
    /// Whether this is YAML's null: nothing, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain: true } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_) | Value::Cut => false,
        }
    }

    fn child(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Sequence(items), Step::Index(index)) => items.get(*index),
            (Value::Mapping(entries), Step::Key(key)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.value)
            }
            (Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_) | Value::Cut, _) => None,
        }
    }

    /// The place of `path`, or of the deepest node on the way to it.
    pub(crate) fn locate(&self, path: &Path) -> Position {
        let mut node = self;
        for step in path.steps() {
            match node.child(step) {
                Some(child) => node = child,
                None => break,
            }
        }
        node.position
    }

    /// The place of the key that `path` ends in.
    pub(crate) fn locate_key(&self, path: &Path) -> Position {
        let (Some(parent), Some(Step::Key(key))) = (path.parent(), path.steps().last()) else {
            return self.locate(path);
        };
        let mut node = self;
        for step in parent.steps() {
            match node.child(step) {
                Some(child) => node = child,
                None => return node.position,
            }
        }
        match &node.value {
            Value::Mapping(entries) => {
                entries.iter().find(|entry| entry.key == *key).map_or(node.position, |entry| entry.position)
            }
            Value::Scalar { .. } | Value::Sequence(_) | Value::Cut => node.position,
        }
    }

    /// Cuts out what is at `path`.
    pub(crate) fn cut(&mut self, path: &Path) {
        let mut node = self;
        for step in path.steps() {
            let child = match (&mut node.value, step) {
                (Value::Sequence(items), Step::Index(index)) => items.get_mut(*index),
                (Value::Mapping(entries), Step::Key(key)) => {
                    entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.value)
                }
                (Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_) | Value::Cut, _) => None,
            };
            match child {
                Some(child) => node = child,
                None => return,
            }
        }
        node.value = Value::Cut;
    }

    fn weight(&self) -> usize {
        self.own_weight()
            + match &self.value {
                Value::Sequence(items) => items.iter().map(Self::weight).sum(),
                Value::Mapping(entries) => {
                    entries.iter().map(|entry| entry.key.len() / WEIGHED_BYTES + entry.value.weight()).sum()
                }
                Value::Scalar { .. } | Value::Cut => 0,
            }
    }

    fn own_weight(&self) -> usize {
        match &self.value {
            Value::Scalar { text, .. } => 1 + text.len() / WEIGHED_BYTES,
            Value::Sequence(_) | Value::Mapping(_) | Value::Cut => 1,
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Sequence(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Mapping(entries) => entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0),
            Value::Scalar { .. } | Value::Cut => 0,
        }
    }
}

/// Reads one document. Duplicate keys do not end the reading: the first of them counts, the others are findings.
///
/// # Errors
/// What makes the text unreadable as YAML, after the findings until there.
pub(crate) fn parse(text: &str) -> Result<(Node, Vec<Finding>), Vec<Finding>> {
    let mut builder = Builder::default();
    match builder.read(text) {
        Ok(node) => Ok((node, builder.findings)),
        Err(finding) => {
            builder.findings.push(finding);
            Err(builder.findings)
        }
    }
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

fn finding(position: Position, what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { position, path: Path::default(), what: what.into(), fix: Some(fix.into()) }
}

/// A sequence or mapping whose end has not come yet.
struct Open {
    anchor: usize,
    position: Position,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: HashMap<String, usize>, key: Option<(String, Position)> },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    weight: usize,
    findings: Vec<Finding>,
}

impl Builder {
    fn read(&mut self, text: &str) -> Result<Node, Finding> {
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let (event, Span { start, .. }) = event.map_err(|error| syntax_error(&error))?;
            let position = position(start);
            match event {
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(finding(
                            position,
                            "a second document starts here",
                            "keep one, without `---`",
                        ));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    no_tag(position, tag.as_deref())?;
                    let plain = style == ScalarStyle::Plain;
                    self.add(
                        anchor,
                        Node { position, value: Value::Scalar { text: text.into_owned(), plain } },
                    )?;
                }
                Event::Alias(anchor) => self.alias(anchor, position)?,
                Event::SequenceStart(anchor, tag) => {
                    no_tag(position, tag.as_deref())?;
                    self.open(Open { anchor, position, content: Content::Sequence(Vec::new()) })?;
                }
                Event::MappingStart(anchor, tag) => {
                    no_tag(position, tag.as_deref())?;
                    let content = Content::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None };
                    self.open(Open { anchor, position, content })?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
            }
        }
        let empty = || Finding {
            position: Position { line: 1, column: 1 },
            path: Path::default(),
            what: "the file is empty".to_owned(),
            fix: Some("it needs at least `backends:` with one `- url: http://…`".to_owned()),
        };
        self.root.take().filter(|root| !root.is_null()).ok_or_else(empty)
    }

    fn open(&mut self, open: Open) -> Result<(), Finding> {
        if self.open.len() >= MAX_DEPTH {
            return Err(finding(
                open.position,
                format!("nested deeper than {MAX_DEPTH} levels"),
                "flatten it",
            ));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Finding> {
        let Some(Open { anchor, position, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { entries, .. } => Value::Mapping(entries),
        };
        self.add(anchor, Node { position, value })
    }

    /// An alias stands for a copy of the anchored node, which pays for its size before it is made.
    fn alias(&mut self, anchor: usize, position: Position) -> Result<(), Finding> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(finding(position, "the alias is inside its own anchor", "write the value out"));
        };
        let weight = node.weight();
        if self.weight + weight > MAX_WEIGHT {
            return Err(finding(position, "the aliases expand to too much", "write the values out"));
        }
        if self.open.len() + node.depth() > MAX_DEPTH {
            return Err(finding(position, format!("nested deeper than {MAX_DEPTH} levels"), "flatten it"));
        }
        let node = Node { position, ..node.clone() };
        // `add` charges the node itself.
        self.weight += weight - node.own_weight();
        self.add(0, node)
    }

    /// Takes a finished node to where it belongs: the document, a sequence, or a mapping as key or value.
    fn add(&mut self, anchor: usize, node: Node) -> Result<(), Finding> {
        self.weight += node.own_weight();
        if self.weight > MAX_WEIGHT {
            return Err(finding(
                node.position,
                "the file is too large",
                "split the fleet over several proxies",
            ));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        if self.findings.len() >= MAX_FINDINGS {
            return Err(finding(node.position, "the list of duplicate keys ends here", "keep one of each"));
        }
        let path = self.path();
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping { entries, seen, key }) => match key.take() {
                None => *key = Some(key_text(node)?),
                Some((name, position)) => {
                    if let Some(line) = seen.get(&name) {
                        self.findings.push(Finding {
                            position,
                            path: path.key(&name),
                            what: format!("the key stands here a second time (first on line {line})"),
                            fix: Some("keep one".to_owned()),
                        });
                    } else {
                        seen.insert(name.clone(), position.line);
                        entries.push(Entry { key: name, position, value: node });
                    }
                }
            },
        }
        Ok(())
    }

    fn path(&self) -> Path {
        let steps = self.open.iter().zip(self.open.iter().skip(1)).map(|(outer, _)| match &outer.content {
            Content::Sequence(items) => Step::Index(items.len()),
            Content::Mapping { key, .. } => {
                Step::Key(key.as_ref().map_or_else(String::new, |(key, _)| key.clone()))
            }
        });
        Path::from(steps.collect::<Vec<_>>())
    }
}

fn key_text(node: Node) -> Result<(String, Position), Finding> {
    let null = node.is_null();
    match node.value {
        Value::Scalar { text, plain: true } if text == "<<" => {
            Err(finding(node.position, "merge keys (`<<`) are not part of YAML 1.2", "repeat the keys"))
        }
        Value::Scalar { text, .. } if !null => Ok((text, node.position)),
        Value::Scalar { .. } => Err(finding(node.position, "a key is missing", "write `key: value`")),
        Value::Sequence(_) | Value::Mapping(_) | Value::Cut => {
            Err(finding(node.position, "a key must be text", "quote it if it begins with `[` or `{`"))
        }
    }
}

fn no_tag(position: Position, tag: Option<&saphyr_parser::Tag>) -> Result<(), Finding> {
    match tag {
        None => Ok(()),
        Some(tag) => Err(finding(position, format!("the tag `{tag}` has no meaning here"), "remove it")),
    }
}

fn syntax_error(error: &saphyr_parser::ScanError) -> Finding {
    let info = error.info();
    let fix = if info.contains("tab") {
        "indent with spaces"
    } else if info.contains("mapping values are not allowed") {
        "check the indentation, and quote a value that contains `: `"
    } else if info.contains("unknown anchor") {
        "define it with `&name` above, or quote a value that begins with `*`"
    } else {
        "check indentation, quotes and brackets here and just above"
    };
    finding(position(*error.marker()), format!("this is not YAML: {info}"), fix)
}
