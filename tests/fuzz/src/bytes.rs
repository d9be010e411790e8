//! Bytes read as choices: what has run out is nought, so that every input means something.

/// Bytes, and how far they were read.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// All of them.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether none is left.
    pub const fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// The next so many bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// At most so many bytes, without noughts behind the last.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All bytes that are left.
    pub const fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    /// Yes or no.
    pub fn coin(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// True in so many cases of 256.
    pub fn rarely(&mut self, of_256: u8) -> bool {
        // Nought, which is what has run out, is no.
        u8::MAX - self.byte() < of_256
    }

    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: usize) -> usize {
        let drawn = if limit <= 256 { usize::from(self.byte()) } else { self.short() as usize };
        drawn % limit.max(1)
    }

    /// Two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// A number of any size: small ones, and those at the edges, more often than their share.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            kind @ 0..=127 => u64::from(kind),
            128..=159 => u64::from(self.short()),
            160..=191 => u64::from(u32::from_le_bytes(self.array())),
            192..=207 => u64::from_le_bytes(self.array()),
            208..=223 => u64::MAX - u64::from(self.byte()),
            224..=231 => u64::from(u32::MAX) - 2 + u64::from(self.byte() % 5),
            232..=239 => (1 << 47) - 2 + u64::from(self.byte() % 5),
            kind => 1 << (4 * (kind - 240)),
        }
    }

    /// One of these, if there is any.
    pub fn pick<'b, T>(&mut self, of: &'b [T]) -> Option<&'b T> {
        if of.is_empty() { None } else { Some(&of[self.below(of.len())]) }
    }

    /// A text: one of these words, or any other of at most `most` bytes.
    pub fn text(&mut self, words: &[&str], most: usize) -> String {
        let kind = self.below(words.len() + 1);
        if let Some(word) = words.get(kind) {
            return (*word).to_owned();
        }
        let len = self.below(most + 1);
        String::from_utf8_lossy(self.take(len)).into_owned()
    }
}
