//! One tree, grown leaf by leaf.

use super::Binned;

/// Second derivatives of a leaf at least, added up; LightGBM's default.
const LEAST_HESSIAN: f64 = 1e-3;

/// Where the loss pulls one row: first and second derivative by its prediction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pull {
    /// First derivative.
    pub gradient: f64,
    /// Second derivative, or what stands in for it; a row with 0 takes no part.
    pub hessian: f64,
}

/// How trees grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// Leaves at most, best gain first; all that can be split where absent.
    pub leaves: Option<usize>,
    /// Rows of a leaf at least.
    pub rows: usize,
    /// Share of the columns that each split looks at.
    pub columns: f64,
    /// Ridge on a leaf's value.
    pub ridge: f64,
}

/// A regression tree.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    column: usize,
    code: u8,
    edge: f64,
    /// Left child; the right one follows it. 0 for a leaf.
    left: usize,
    value: f64,
}

impl Tree {
    /// What it says of a row.
    pub fn predict(&self, row: &[f64]) -> f64 {
        self.walk(|node| row[node.column] <= node.edge)
    }

    pub(super) fn predict_binned(&self, binned: &Binned, row: usize) -> f64 {
        self.walk(|node| binned.codes(node.column)[row] <= node.code)
    }

    fn walk(&self, goes_left: impl Fn(&Node) -> bool) -> f64 {
        let mut at = 0;
        loop {
            let node = &self.nodes[at];
            if node.left == 0 {
                return node.value;
            }
            at = if goes_left(node) { node.left } else { node.left + 1 };
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    gradient: f64,
    hessian: f64,
    rows: usize,
}

impl Cell {
    fn add(&mut self, pull: Pull) {
        self.gradient += pull.gradient;
        self.hessian += pull.hessian;
        self.rows += 1;
    }

    fn plus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient + other.gradient,
            hessian: self.hessian + other.hessian,
            rows: self.rows + other.rows,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            hessian: self.hessian - other.hessian,
            rows: self.rows - other.rows,
        }
    }

    fn gain(self, ridge: f64) -> f64 {
        if self.hessian > 0.0 { self.gradient * self.gradient / (self.hessian + ridge) } else { 0.0 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Split {
    gain: f64,
    column: usize,
    code: u8,
}

struct Leaf {
    node: usize,
    begin: usize,
    end: usize,
    split: Split,
}

struct Grower<'a> {
    binned: &'a Binned,
    pulls: &'a [Pull],
    growth: &'a Growth,
    random: &'a mut fastrand::Rng,
    columns: Vec<usize>,
    rows: Vec<usize>,
    cells: Vec<Cell>,
    tree: Tree,
    open: Vec<Leaf>,
}

impl Tree {
    /// Grows a tree over `rows`, from `columns`; `pulls` are by row.
    pub fn grow(
        binned: &Binned,
        rows: Vec<usize>,
        columns: Vec<usize>,
        pulls: &[Pull],
        growth: &Growth,
        random: &mut fastrand::Rng,
    ) -> Self {
        let end = rows.len();
        let cells = vec![Cell::default(); 256];
        let (tree, open) = (Self::default(), Vec::new());
        let mut grower = Grower { binned, pulls, growth, random, columns, rows, cells, tree, open };
        grower.tree.nodes.push(Node { column: 0, code: 0, edge: 0.0, left: 0, value: 0.0 });
        grower.consider(0, 0, end);
        let mut leaves = 1;
        while growth.leaves.is_none_or(|most| leaves < most) {
            let Some(leaf) = grower.next() else { break };
            grower.split(&leaf);
            leaves += 1;
        }
        grower.tree
    }
}

impl Grower<'_> {
    /// Gives a node its value as a leaf, and finds out whether it is worth splitting.
    fn consider(&mut self, node: usize, begin: usize, end: usize) {
        let mut total = Cell::default();
        self.rows[begin..end].iter().for_each(|&row| total.add(self.pulls[row]));
        self.tree.nodes[node].value =
            if total.hessian > 0.0 { -total.gradient / (total.hessian + self.growth.ridge) } else { 0.0 };
        if total.rows < 2 * self.growth.rows.max(1) {
            return;
        }
        self.random.shuffle(&mut self.columns);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let looked_at = ((self.columns.len() as f64 * self.growth.columns).round() as usize).max(1);
        let mut best: Option<Split> = None;
        for position in 0..self.columns.len() {
            // As in scikit-learn: where none of the drawn columns divides the rows, further ones are looked at.
            if position >= looked_at && best.is_some() {
                break;
            }
            let split = self.best_of(self.columns[position], begin, end, total);
            best = match (best, split) {
                (Some(best), Some(split)) if split.gain <= best.gain => Some(best),
                (best, split) => split.or(best),
            };
        }
        if let Some(split) = best {
            self.open.push(Leaf { node, begin, end, split });
        }
    }

    fn best_of(&mut self, column: usize, begin: usize, end: usize, total: Cell) -> Option<Split> {
        let codes = self.binned.codes(column);
        let (mut least, mut greatest) = (u8::MAX, 0);
        for &row in &self.rows[begin..end] {
            let code = codes[row];
            (least, greatest) = (least.min(code), greatest.max(code));
            self.cells[usize::from(code)].add(self.pulls[row]);
        }
        let whole = total.gain(self.growth.ridge);
        let (mut left, mut best) = (Cell::default(), None);
        for code in least..=greatest {
            let cell = std::mem::take(&mut self.cells[usize::from(code)]);
            left = left.plus(cell);
            let right = total.minus(left);
            let enough = |side: Cell| side.rows >= self.growth.rows.max(1) && side.hessian >= LEAST_HESSIAN;
            if cell.rows == 0 || !enough(left) || !enough(right) {
                continue;
            }
            let gain = left.gain(self.growth.ridge) + right.gain(self.growth.ridge) - whole;
            if gain > best.map_or(1e-12, |best: Split| best.gain) {
                best = Some(Split { gain, column, code });
            }
        }
        best
    }

    /// The leaf to split next: the most worthwhile, or any where all will be.
    fn next(&mut self) -> Option<Leaf> {
        if self.growth.leaves.is_none() {
            return self.open.pop();
        }
        let best = (0..self.open.len())
            .max_by(|&a, &b| self.open[a].split.gain.total_cmp(&self.open[b].split.gain).then(b.cmp(&a)))?;
        Some(self.open.remove(best))
    }

    fn split(&mut self, leaf: &Leaf) {
        let Split { column, code, .. } = leaf.split;
        let codes = self.binned.codes(column);
        let rows = &mut self.rows[leaf.begin..leaf.end];
        let mut middle = 0;
        for at in 0..rows.len() {
            if codes[rows[at]] <= code {
                rows.swap(at, middle);
                middle += 1;
            }
        }
        let middle = leaf.begin + middle;
        let left = self.tree.nodes.len();
        let empty = Node { column: 0, code: 0, edge: 0.0, left: 0, value: 0.0 };
        self.tree.nodes.extend([empty, empty]);
        let node = &mut self.tree.nodes[leaf.node];
        *node = Node { column, code, edge: self.binned.edge(column, code), left, value: node.value };
        self.consider(left, leaf.begin, middle);
        self.consider(left + 1, middle, leaf.end);
    }
}
