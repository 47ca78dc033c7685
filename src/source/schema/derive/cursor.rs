//! A statement's pieces, read one after another.

use crate::change::TableId;
use crate::source::decode::statement::{Token, Tokens};

/// What is left of a statement, or of a part of it.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let tokens: Vec<_> = Tokens::new(text)
            .filter(|token| *token != Token::Symbol(';'))
            .collect();
        Self { tokens, at: 0 }
    }

    fn peek(&self) -> Option<&Token<'t>> {
        self.tokens.get(self.at)
    }

    /// The next piece, whatever it is.
    pub(super) fn any(&mut self) -> Option<Token<'t>> {
        let token = self.peek().cloned()?;
        self.at = self.at.saturating_add(1);
        Some(token)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Passes over the rest, which has no effect.
    #[expect(clippy::unnecessary_wraps, reason = "it ends functions that may fail")]
    pub(super) fn skip_rest(&mut self) -> Option<()> {
        self.at = self.tokens.len();
        Some(())
    }

    /// The next piece if it is a bare word, in lower case. Does not take it.
    pub(super) fn peek_word(&self) -> Option<String> {
        match self.peek()? {
            Token::Word(word) => Some(word.to_ascii_lowercase()),
            Token::Name(_) | Token::Text(..) | Token::Symbol(_) => None,
        }
    }

    pub(super) fn word(&mut self) -> Option<String> {
        let word = self.peek_word()?;
        self.at = self.at.saturating_add(1);
        Some(word)
    }

    /// Takes the word if it is next.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let is_it = self.peek_word().is_some_and(|next| next == word);
        self.at = self.at.saturating_add(usize::from(is_it));
        is_it
    }

    pub(super) fn expect(&mut self, word: &str) -> Option<()> {
        self.take(word).then_some(())
    }

    /// Takes these words if all of them are next.
    pub(super) fn take_all(&mut self, words: &[&str]) -> bool {
        let before = self.at;
        let all = words.iter().all(|word| self.take(word));
        if !all {
            self.at = before;
        }
        all
    }

    pub(super) fn take_symbol(&mut self, symbol: char) -> bool {
        let is_it = self.peek() == Some(&Token::Symbol(symbol));
        self.at = self.at.saturating_add(usize::from(is_it));
        is_it
    }

    /// A name. Beyond ASCII its bytes depend on the session's character set.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = match self.any()? {
            Token::Word(word) => word.to_owned(),
            Token::Name(name) => name,
            Token::Text(..) | Token::Symbol(_) => return None,
        };
        name.is_ascii().then_some(name)
    }

    /// A table's name, in its database or in the session's.
    pub(super) fn table(&mut self, db: &str) -> Option<TableId> {
        let first = self.name()?;
        Some(if self.take_symbol('.') {
            TableId {
                db: first,
                table: self.name()?,
            }
        } else {
            TableId {
                db: db.to_owned(),
                table: first,
            }
        })
    }

    /// What is between a parenthesis that begins here and its end.
    pub(super) fn parenthesis(&mut self) -> Option<Self> {
        self.take_symbol('(').then_some(())?;
        let begin = self.at;
        let mut depth = 1usize;
        while depth > 0 {
            match self.any()? {
                Token::Symbol('(') => depth = depth.saturating_add(1),
                Token::Symbol(')') => depth = depth.saturating_sub(1),
                Token::Word(_) | Token::Name(_) | Token::Text(..) | Token::Symbol(_) => {}
            }
        }
        let inside = self.tokens.get(begin..self.at.saturating_sub(1))?;
        Some(Self {
            tokens: inside.to_vec(),
            at: 0,
        })
    }

    /// The rest, cut at its commas; those inside of parentheses do not count.
    pub(super) fn items(self) -> Vec<Self> {
        let mut items = vec![Vec::new()];
        let mut depth = 0usize;
        for token in self.tokens.into_iter().skip(self.at) {
            match &token {
                Token::Symbol('(') => depth = depth.saturating_add(1),
                Token::Symbol(')') => depth = depth.saturating_sub(1),
                Token::Symbol(',') if depth == 0 => {
                    items.push(Vec::new());
                    continue;
                }
                Token::Word(_) | Token::Name(_) | Token::Text(..) | Token::Symbol(_) => {}
            }
            if let Some(last) = items.last_mut() {
                last.push(token);
            }
        }
        items.into_iter().map(|tokens| Self { tokens, at: 0 }).collect()
    }
}
