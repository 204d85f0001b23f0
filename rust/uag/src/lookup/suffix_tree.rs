//! A suffix tree over the bytes of a growing text: where has what it ends with occurred before?
//!
//! Built online as by E. Ukkonen, *On-line construction of suffix trees*, Algorithmica 14 (1995):
//! amortised constant time a byte for a fixed alphabet, whatever the text. His active point, the
//! longest suffix that isn't a leaf yet, is the longest one that has occurred before. Another text
//! is matched against a tree by walking a point of its own along suffix links (W. Chang and E.
//! Lawler, *Sublinear approximate string matching and biological applications*, 1994).
//!
//! Children are lists of siblings, the newest first: 4 bytes a leaf, of which there is one a byte,
//! and 20 bytes an inner node, of which there are about 0.6 a byte in prose, and at most one.

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;
/// Marks a reference to a leaf; the rest is where its suffix starts. Others refer to inner nodes.
const LEAF: u32 = 1 << 31;

/// The most bytes that a tree holds.
pub(super) const LIMIT: usize = (LEAF - 2) as usize;

/// A repeated string after which different bytes have followed.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Where it occurs first.
    at: u32,
    /// Its length.
    depth: u32,
    /// The node of the same string without its first byte.
    link: u32,
    child: u32,
    next: u32,
}

/// A string that occurs in the text: `along` bytes of the edge from `node` to `child`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    node: u32,
    child: u32,
    along: u32,
}

/// The tree of a text; see the module.
#[derive(Debug)]
pub(super) struct SuffixTree {
    text: Vec<u8>,
    nodes: Vec<Node>,
    /// For each leaf, that is for each start of a suffix, its next sibling.
    leaves: Vec<u32>,
    /// The root's children, which may be as many as there are bytes.
    first: Box<[u32; 256]>,
    /// The longest suffix that occurs earlier too.
    end: Point,
}

impl Point {
    /// The empty string.
    pub(super) const EMPTY: Self = Self { node: ROOT, child: NONE, along: 0 };
}

impl Default for SuffixTree {
    fn default() -> Self {
        let root = Node { at: 0, depth: 0, link: ROOT, child: NONE, next: NONE };
        Self {
            text: Vec::new(),
            nodes: vec![root],
            leaves: Vec::new(),
            first: Box::new([NONE; 256]),
            end: Point::EMPTY,
        }
    }
}

impl SuffixTree {
    /// The tree of a whole text, which must not be longer than [`LIMIT`].
    pub(super) fn of(text: &[u8]) -> Self {
        let mut tree = Self::default();
        tree.text.reserve_exact(text.len());
        tree.leaves.reserve_exact(text.len());
        tree.append(text);
        tree.finish();
        tree.nodes.shrink_to_fit();
        tree
    }

    /// The text.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The longest string that the text ends with and that starts earlier too.
    pub(super) fn end(&self) -> Point {
        self.end
    }

    /// Bytes of memory in use.
    pub(super) fn memory(&self) -> usize {
        self.text.capacity() + size_of::<Node>() * self.nodes.capacity() + 4 * self.leaves.capacity() + 1024
    }

    /// Adds bytes at the end. The text must not become longer than [`LIMIT`].
    pub(super) fn append(&mut self, bytes: &[u8]) {
        assert!(self.text.len() + bytes.len() <= LIMIT, "the tree is full");
        for &byte in bytes {
            self.push(byte);
        }
    }

    /// Length of a point's string.
    pub(super) fn depth(&self, point: Point) -> usize {
        (self.nodes[point.node as usize].depth + point.along) as usize
    }

    /// The longest string that ends with `byte` after the end of `point`'s string, and occurs.
    pub(super) fn follow(&self, mut point: Point, byte: u8) -> Point {
        loop {
            if let Some(longer) = self.step(point, byte) {
                return longer;
            }
            if point == Point::EMPTY {
                return point;
            }
            point = self.shorter(point);
        }
    }

    /// Where `point`'s string starts: the first `limit` places that are met, older ones mostly
    /// first.
    pub(super) fn occurrences(&self, point: Point, limit: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut open = Vec::new();
        if point.along == 0 {
            self.push_children(point.node, &mut open);
        } else {
            open.push(point.child);
        }
        while let Some(child) = open.pop() {
            if child & LEAF == 0 {
                self.push_children(child, &mut open);
                continue;
            }
            found.push((child & !LEAF) as usize);
            if found.len() == limit {
                break;
            }
        }
        found
    }

    /// Puts a node's children on a stack, the oldest on top.
    fn push_children(&self, node: u32, open: &mut Vec<u32>) {
        if node == ROOT {
            open.extend(self.first.iter().filter(|&&child| child != NONE));
            return;
        }
        let mut child = self.nodes[node as usize].child;
        while child != NONE {
            open.push(child);
            child = self.next(child);
        }
    }

    /// One more byte: every suffix after which it has never followed becomes a leaf.
    fn push(&mut self, byte: u8) {
        self.text.push(byte);
        let mut unlinked = None;
        loop {
            let point = self.end;
            if let Some(longer) = self.step(point, byte) {
                self.link(unlinked, point.node);
                self.end = longer;
                return;
            }
            unlinked = Some(self.branch(point, unlinked));
            if point == Point::EMPTY {
                self.first[usize::from(byte)] = LEAF | (self.leaves.len() - 1) as u32;
                return;
            }
            self.end = self.shorter(point);
        }
    }

    /// Makes leaves of the suffixes that occur earlier, as if a byte came that never did.
    fn finish(&mut self) {
        let mut unlinked = None;
        while self.end != Point::EMPTY {
            unlinked = Some(self.branch(self.end, unlinked));
            self.end = self.shorter(self.end);
        }
    }

    /// A new leaf at a point. Makes a node there if there isn't one; returns the node.
    fn branch(&mut self, point: Point, unlinked: Option<u32>) -> u32 {
        let node = if point.along == 0 { point.node } else { self.split(point) };
        self.link(unlinked, node);
        let leaf = LEAF | self.leaves.len() as u32;
        if node == ROOT {
            // By its first byte, which the caller knows.
            self.leaves.push(NONE);
        } else {
            self.leaves.push(self.nodes[node as usize].child);
            self.nodes[node as usize].child = leaf;
        }
        node
    }

    fn link(&mut self, from: Option<u32>, to: u32) {
        if let Some(from) = from {
            self.nodes[from as usize].link = to;
        }
    }

    /// Makes a node of a point within an edge.
    fn split(&mut self, point: Point) -> u32 {
        let Point { node: parent, child, along } = point;
        let depth = self.nodes[parent as usize].depth;
        let (at, next) = (self.start(child), self.next(child));
        let node = self.nodes.len() as u32;
        self.nodes.push(Node { at, depth: depth + along, link: ROOT, child, next });
        self.set_next(child, NONE);
        if parent == ROOT {
            self.first[usize::from(self.text[at as usize])] = node;
        } else if self.nodes[parent as usize].child == child {
            self.nodes[parent as usize].child = node;
        } else {
            let mut before = self.nodes[parent as usize].child;
            while self.next(before) != child {
                before = self.next(before);
            }
            self.set_next(before, node);
        }
        node
    }

    /// The point one byte further, if that byte has followed.
    fn step(&self, point: Point, byte: u8) -> Option<Point> {
        let Point { node, child, along } = point;
        if along == 0 {
            let child = self.child(node, byte)?;
            return Some(self.settled(Point { node, child, along: 1 }));
        }
        let at = self.start(child) + self.nodes[node as usize].depth + along;
        (self.text.get(at as usize) == Some(&byte)).then(|| self.settled(Point { node, child, along: along + 1 }))
    }

    /// The same string without its first byte, which is not empty.
    pub(super) fn shorter(&self, point: Point) -> Point {
        let Node { depth, link, .. } = self.nodes[point.node as usize];
        if point.along == 0 {
            return Point { node: link, ..Point::EMPTY };
        }
        let at = self.start(point.child) + depth;
        if point.node == ROOT {
            self.descend(ROOT, at + 1, point.along - 1)
        } else {
            self.descend(link, at, point.along)
        }
    }

    /// The point after `length` bytes that stand at `at` in the text and are known to follow
    /// `node`: only the first byte of each edge is looked at.
    fn descend(&self, mut node: u32, mut at: u32, mut length: u32) -> Point {
        while length > 0 {
            let Some(child) = self.child(node, self.text[at as usize]) else {
                unreachable!("what occurs occurs without its first byte too")
            };
            let edge = match child & LEAF {
                0 => self.nodes[child as usize].depth - self.nodes[node as usize].depth,
                _ => u32::MAX,
            };
            if length < edge {
                return Point { node, child, along: length };
            }
            (node, at, length) = (child, at + edge, length - edge);
        }
        Point { node, ..Point::EMPTY }
    }

    /// A point at the end of its edge is the node there.
    fn settled(&self, point: Point) -> Point {
        let Point { node, child, along } = point;
        if child & LEAF == 0 && self.nodes[node as usize].depth + along == self.nodes[child as usize].depth {
            return Point { node: child, ..Point::EMPTY };
        }
        point
    }

    fn child(&self, node: u32, byte: u8) -> Option<u32> {
        if node == ROOT {
            return Some(self.first[usize::from(byte)]).filter(|&child| child != NONE);
        }
        let Node { depth, mut child, .. } = self.nodes[node as usize];
        while child != NONE && self.text.get((self.start(child) + depth) as usize) != Some(&byte) {
            child = self.next(child);
        }
        Some(child).filter(|&child| child != NONE)
    }

    /// Where a child's string occurs.
    fn start(&self, child: u32) -> u32 {
        if child & LEAF == 0 { self.nodes[child as usize].at } else { child & !LEAF }
    }

    fn next(&self, child: u32) -> u32 {
        if child & LEAF == 0 { self.nodes[child as usize].next } else { self.leaves[(child & !LEAF) as usize] }
    }

    fn set_next(&mut self, child: u32, next: u32) {
        if child & LEAF == 0 {
            self.nodes[child as usize].next = next;
        } else {
            self.leaves[(child & !LEAF) as usize] = next;
        }
    }
}
